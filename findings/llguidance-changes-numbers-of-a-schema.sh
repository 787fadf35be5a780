#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# llguidance 1.9.1 makes a model write what a JSON schema allows, and changes the schema's own numbers: integers beyond
# 2^53 in const, enum, minimum and maximum are rounded to a double before. The number that the schema names is then
# forbidden, another one is the only one allowed, and nothing is said. outlines_core 0.2.14 keeps const and enum.
#
# Seen here: for {"const": 9007199254740993} just 9007199254740992 may be written, alone, in an enum and in an object;
# for the seed 12345678901234567890 just 12345678901234567000; and a maximum of 9007199254740993 forbids that number.
#
# Name seeds and ids of 64 bits as strings in a schema.
#
# Needs python3 with venv. Exits 1 if it is no longer so.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check llguidance==1.9.1 outlines_core==0.2.14
venv/bin/python - <<'PY'
import json
import re
import sys
from importlib.metadata import version

import llguidance
from outlines_core.json_schema import build_regex_from_schema

print({name: version(name) for name in ("llguidance", "outlines_core")})


class Bytes:
    """A vocabulary of single ASCII characters and an end."""
    eos_token_id, bos_token_id, special_token_ids = 128, None, [128]
    tokens = [bytes([x]) for x in range(128)] + [b"<end>"]

    def __call__(self, text):
        return list(text if isinstance(text, bytes) else text.encode())


VOCABULARY = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Bytes()))


def allows(schema, text):
    """Whether the grammar of a schema lets the text be written, and end there."""
    matcher = llguidance.LLMatcher(VOCABULARY, llguidance.LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    assert not matcher.is_error(), matcher.get_error()
    return matcher.try_consume_tokens(list(text.encode())) == len(text) and matcher.is_accepting()


ID, SEED = 9007199254740993, 12345678901234567890
cases = (({"const": ID}, f"{ID}", f"{ID - 1}"), ({"enum": [ID, 5]}, f"{ID}", f"{ID - 1}"),
         ({"const": {"id": ID}}, '{"id":%d}' % ID, '{"id":%d}' % (ID - 1)),
         ({"const": SEED}, f"{SEED}", "12345678901234567000"))
as_seen = []
for schema, right, other in cases:
    seen = allows(schema, right), allows(schema, other)
    by_outlines = bool(re.fullmatch(build_regex_from_schema(json.dumps(schema)), right))
    print(f"{json.dumps(schema)}: {right} {'may' if seen[0] else 'must not'} be written, "
          f"{other} {'may' if seen[1] else 'must not'}; "
          f"by outlines_core {right} {'may' if by_outlines else 'must not'}")
    as_seen.append(seen == (False, True))
top = {"type": "integer", "maximum": ID, "minimum": 0}
print(f"{json.dumps(top)}: {ID} {'may' if allows(top, f'{ID}') else 'must not'} be written")
sys.exit(not (all(as_seen) and not allows(top, f"{ID}") and allows({"const": ID - 2}, f"{ID - 2}")))
PY
