# SPDX-License-Identifier: Apache-2.0
"""Every message that the command can print on standard error, collected from the sources.

python tests/cli/messages.py writes tests/golden/messages.txt anew, keeping the exit codes that
were set by hand (of lines that are printed, not returned with a status)."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden" / "messages.txt"
HEADER = """\
# Every message of the command: exit code, where it is made, its format.
# 0: it is told and the work goes on. 3,4: by what it is about. Written by tests/cli/messages.py.
"""
EXIT = {"BAD_ARG": "2", "BAD_FILE": "3", "BAD_FORMAT": "3", "NO_MEMORY": "4", "BAD_LOGITS": "4",
        "ENGINE": "4", "NO_ENGINE": "4", "CANCELLED": "4"}
OTHER_PROGRAMS = {"test_samplers.c", "test_text.c", "test_token_generation.c", "tally.c"}
LITERAL = r'"(?:[^"\\]|\\.)*"'
# Literals in a row, with the macros that stand between them.
TEXT = rf"((?:\s*(?:{LITERAL}|PRIu64|CSM_[A-Z_]+|[A-Z]+_HELP))+)"


def joined(literals):
    parts = re.findall(rf"{LITERAL}|[A-Z][A-Za-z0-9_]+", literals)
    return "".join(p[1:-1] if p.startswith('"') else f"<{p}>" for p in parts)


def arguments(text, at):
    """The end of the call whose '(' is before `at`, strings skipped."""
    depth = 1
    for m in re.compile(rf"{LITERAL}|'(?:[^'\\]|\\.)'|[()]").finditer(text, at):
        depth += {"(": 1, ")": -1}.get(m[0], 0)
        if depth == 0:
            return text[at:m.start()]
    raise AssertionError("a call without an end")


def thrown(text):
    """The same of the cuda engine, which throws what its table turns into a status."""
    for m in re.finditer(r"\b(declined|failure|check)\((?!cudaError)", text):
        literals = re.search(TEXT, arguments(text, m.end()))
        if literals and '"' in literals[0]:
            what = "cuda: " + joined(literals[0])
            yield ("2" if m[1] == "declined" else "4"), what + (": %s" if m[1] == "check" else "")


def of_file(path):
    """(exit code or '', format) of each message of a source file."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)
    if path.suffix == ".cu":
        yield from thrown(text)
    for m in re.finditer(r"\bcsm_fail\(", text):
        inside = arguments(text, m.end())
        status = re.search(r"\bCSM_([A-Z_]+)\b", inside.split('"')[0])
        for literals in re.findall(TEXT, inside):
            if '"' in literals and (" " in literals.strip() or "%" in literals):
                yield EXIT.get(status[1] if status else "", "3,4"), joined(literals)
                break
    if path.parent.name != "cli":
        return
    for m in re.finditer(rf"\bfprintf\(stderr,{TEXT}|\bfputs\({TEXT}, stderr\)|"
                         rf"\bwrong = {TEXT};|csm_remark_write\([^\"]*{LITERAL},{TEXT}", text):
        message = joined(next(g for g in m.groups() if g))
        if m[0].startswith(("wrong", "csm_remark")):
            message = "csm: " + message + r"\n"
        if message.startswith("csm: "):
            yield "", message.removeprefix("csm: ").removesuffix(r"\n")


def sources():
    files = [*(ROOT / "src").rglob("*.c"), *(ROOT / "src").rglob("*.cpp"), *(ROOT / "src").rglob("*.cu"),
             *(ROOT / "cli").glob("*.c")]
    return sorted(f for f in files if f.name not in OTHER_PROGRAMS)


def collected():
    """{(file, format): exit code or ''}"""
    return {(str(f.relative_to(ROOT)), message): code
            for f in sources() for code, message in of_file(f)}


def golden():
    """{(file, format): exit code}"""
    lines = [line.split("\t") for line in GOLDEN.read_text().splitlines()
             if line and not line.startswith("#")]
    return {(file, message): code for code, file, message in lines}


def pattern(message):
    """A format as what it prints, to be matched against a whole line."""
    parts = re.split(r"(%[-+ #0]*[\d*]*(?:\.[\d*]+)?(?:hh|h|ll|l|z|j)?[a-zA-Z%]|<[A-Za-z0-9_]+>)",
                     message.replace(r"\"", '"').replace(r"\\", "\\"))
    return re.compile("".join("%" if p == "%%" else ".*" if i % 2 else re.escape(p)
                              for i, p in enumerate(parts)), re.S)


if __name__ == "__main__":
    kept = golden() if GOLDEN.exists() else {}
    lines = [f"{code or kept.get(key, '2')}\t{key[0]}\t{key[1]}\n"
             for key, code in collected().items()]
    GOLDEN.write_text(HEADER + "".join(lines))
