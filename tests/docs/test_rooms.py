# SPDX-License-Identifier: Apache-2.0
"""docs/ARCHITECTURE.md against the source: who includes whom, and that what it names is there."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ARCHITECTURE.md").read_text()

# Headers of C, C++, POSIX, the compilers and the kernels: free to all.
FREE = set("""TargetConditionals algorithm any arm_neon arpa array asm assert atomic avx512fintrin bit bitset cctype cerrno
cfloat charconv chrono cinttypes climits clocale cmath compare complex concepts condition_variable cpuid
cstdarg cstdbool cstddef cstdint cstdio cstdlib cstring ctime ctype deque dirent dlfcn errno exception fcntl
fenv filesystem float fnmatch forward_list fstream functional future getopt glob grp immintrin
initializer_list inttypes iomanip ios iostream iso646 istream iterator libgen limits linux list locale mach
map math memory mutex netdb netinet new numbers numeric optional ostream poll pthread pwd queue random ranges
ratio regex sched semaphore set setjmp shared_mutex signal span spawn sstream stack stdalign stdarg stdatomic
stdbool stddef stdexcept stdint stdio stdlib stdnoreturn string string_view strings sys syslog system_error
termios tgmath thread threads time tuple type_traits typeinfo uchar ucontext unistd unordered_map
unordered_set utility utime utmpx variant vector version wchar wctype xlocale""".split())


def room_of(path):
    """src/engine/mlx/x.cpp: engine/mlx; src/text/x.c: text; cli/x.c: cli."""
    parts = path.relative_to(ROOT).parts
    if parts[0] != "src":
        return parts[0]
    return "/".join(parts[1:3]) if parts[1] == "engine" and len(parts) > 3 else parts[1]


def sources():
    for top in ("src", "cli", "server"):
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in (".c", ".h", ".cpp", ".cu", ".cuh"):
                yield path


def included():
    """(room, file, kind, what) for each include that is not of the file's own room."""
    for path in sources():
        room = room_of(path)
        for mark, name in re.findall(r'^ *# *include *([<"])([^>"]+)[>"]', path.read_text(), re.M):
            first = re.split(r"[/.]", name)[0]
            if name.startswith("csm/"):
                yield room, path.name, "public", name[4:-2]
            elif mark == "<":
                if first not in FREE:
                    yield room, path.name, "libraries", first
            else:
                places = [path.parent / name, ROOT / "src" / name]
                places += [ROOT / top / name for top in ("server", "cli")]
                there = next((p for p in places if p.exists()), None)
                if there is None:  # made by the build: the bytes of the server's page
                    assert name == "embedded.h", f"{path}: {name}"
                elif room_of(there) != room:
                    yield room, path.name, "rooms", room_of(there)


def allowed():
    """{room: {kind: {what: files it is limited to, or None}}} of the page's table."""
    table = {}
    for row in re.findall(r"^\| ([a-z/]+) \|(.*)\|(.*)\|(.*)\|$", PAGE, re.M):
        if row[0] == "room":
            continue
        table[row[0]] = {}
        for kind, cell in zip(("rooms", "public", "libraries"), row[1:]):
            limited = re.findall(r"`?([\w/]+) in ((?:[\w.]+\.[ch]\b ?)+)`?", cell)
            plain = re.sub(r"`?[\w/]+ in (?:[\w.]+\.[ch]\b ?)+`?", "", cell).split()
            table[row[0]][kind] = {**dict.fromkeys(plain), **{what: files.split() for what, files in limited}}
    return table


def test_a_room_includes_what_the_page_allows_and_the_page_allows_no_more():
    table, used = allowed(), {}
    for room, file, kind, what in included():
        row = table[room][kind]
        assert what in row or "any" in row, f"{room}/{file} includes {what}: not in its row ({kind})"
        assert row.get(what) is None or file in row[what], f"{room}/{file} includes {what}: {row[what]} may"
        used.setdefault((room, kind), {}).setdefault(what, set()).add(file)
    for room, kinds in table.items():
        for kind, row in kinds.items():
            for what, files in row.items():
                seen = used.get((room, kind), {}).get(what, set())
                assert what == "any" or seen, f"{room}: the row allows {what}, which nobody includes"
                assert files is None or set(files) == seen, f"{room}: {what} in {files}, used in {seen}"


def test_rooms_have_floors():
    """No way leads from a room back to itself."""
    table = allowed()
    above = {room: set(kinds["rooms"]) for room, kinds in table.items()}
    while above:
        lowest = [room for room, below in above.items() if not below & above.keys()]
        assert lowest, f"these include each other: {sorted(above)}"
        for room in lowest:
            del above[room]


def test_every_room_has_a_row():
    assert {room_of(path) for path in sources()} == set(allowed())


def test_what_the_page_names_is_there():
    text = re.sub(r"```.*?```", "", PAGE, flags=re.S)
    for name in re.findall(r"`((?:src|cli|server|tests|include|scripts|python)/[\w./*-]+)`", text):
        assert "NAME" in name or list(ROOT.glob(name)), name
    source = "\n".join(p.read_text() for top in ("src", "cli", "server", "include")
                       for p in (ROOT / top).rglob("*") if p.suffix in (".c", ".h", ".cpp"))
    names = re.findall(r"`((?:csm|sink|sound|reply|http)_\w+)`", text)
    assert len(names) > 20
    for name in names:
        assert "NAME" in name or re.search(rf"\b{name}\b", source), name


def test_functions_are_in_the_files_that_pages_give_them():
    pages = [*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"]
    pairs = [pair for page in pages for pair in re.findall(r"`(\w+)`\s+\(`([\w/.]+/[\w.]+)`\)", page.read_text())]
    assert len(pairs) > 20
    for name, path in pairs:
        assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), (name, path)


def test_each_way_to_build_on_is_ten_lines():
    """Ten steps each, however the lines are broken."""
    ways = re.split(r"^## Add an? ", PAGE, flags=re.M)[1:]
    assert [way.split("\n")[0] for way in ways] == ["engine", "format of sound", "route"]
    for way in ways:
        assert re.findall(r"^(\d+)\. ", way, re.M) == [str(n) for n in range(1, 11)]
