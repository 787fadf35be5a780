#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# All tests of tokens: samplers, exact and pure generation, the analyzer. Ends in a
# table; exit code 1 if anything in it failed, 2 for a mistake in the command line.
#   ./test_tokens.sh [--text TEXT] [--voice DIR]      CSM_BUILD_DIR: where it was built (build)
set -u
cd "$(dirname "$0")" || exit 1
build=${CSM_BUILD_DIR:-build}
[ -n "${CSM_PYTHON:-}" ] || [ ! -x .venv/bin/python ] || export CSM_PYTHON="$PWD/.venv/bin/python"
text="Hello. This is a test of tokens."
voice=
while [ $# -gt 0 ]; do
    case $1 in
    --text) text=${2:?--text wants a text} ;;
    --voice) voice=${2:?--voice wants a model directory} ;;
    *)
        echo "test_tokens.sh: $1: expected --text TEXT or --voice DIR" >&2
        exit 2
        ;;
    esac
    shift 2
done
if [ ! -x "$build/bin/test_token_generation" ]; then
    make build || exit 1
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

# run NAME EXPECTED_EXIT COMMAND...: shows the output, keeps a line for the table.
run() {
    name=$1 expected=$2
    shift 2
    printf '\n== %s\n' "$name"
    "$@" >"$scratch/out" 2>&1
    code=$?
    cat "$scratch/out"
    result=held
    [ "$code" = "$expected" ] || { result="FAILED (exit $code)"; failed=1; }
    summary=$(grep -E '^[0-9]+ held' "$scratch/out" | tail -1)
    printf '%-34s %-18s %s\n' "$name" "$result" "$summary" >>"$scratch/table"
}

speak() { "$build/bin/test_token_generation" --text "$text" ${voice:+--voice "$voice"} "$@"; }
saved=$scratch/saved
run "samplers" 0 "$build/bin/test_token_generation" --test-sampling
run "exact tokens" 0 speak --use-exact --iterations 3 --max-frames 60 --save-dir "$saved"
run "exact draws, given PyTorch's codes" 0 speak --teacher-forcing --iterations 2 --max-frames 60
run "pure tokens" 0 speak --iterations 3 --max-frames 60
run "analyzer: one stream" 0 "$build/bin/csm" analyze "$saved/candidate-0.safetensors"
run "analyzer: a stream and itself" 0 \
    "$build/bin/csm" analyze "$saved/candidate-0.safetensors" "$saved/candidate-0.safetensors"
run "analyzer: two seeds are told apart" 1 \
    "$build/bin/csm" analyze "$saved/candidate-0.safetensors" "$saved/candidate-1.safetensors"

printf '\n%-34s %-18s %s\n' test result checks
printf -- '-------------------------------------------------------------------------------\n'
cat "$scratch/table"
exit $failed
