# SPDX-License-Identifier: Apache-2.0
"""schemathesis over /openapi.json: right and wrong requests, made of the schema."""

import os
import pathlib
import subprocess
import sys

EXAMPLES = os.environ.get("CSM_SCHEMA_EXAMPLES", "6")


def test_the_server_keeps_to_its_schema(start, tmp_path):
    """No 5xx, and no status, type or body that the schema does not have. Texts are kept short, so
    that what is right is said quickly."""
    s = start("--max-text", 24)
    done = subprocess.run(
        [pathlib.Path(sys.executable).with_name("schemathesis"), "run", s.base + "/openapi.json",
         "--url", s.base, "--max-examples", EXAMPLES, "--seed", "1", "--generation-database", "none",
         "--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--no-color",
         "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
                     "response_schema_conformance"],
        capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert s.stop() == 0
