# SPDX-License-Identifier: Apache-2.0
"""The tests for users: python -m csm.cli.test_token_generation --test-sampling, --text T, --help."""

from .command import test_token_generation

if __name__ == "__main__":
    test_token_generation()
