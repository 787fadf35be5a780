# SPDX-License-Identifier: Apache-2.0
"""python -m csm ... : the command that the package carries."""

from .cli.command import main

if __name__ == "__main__":
    main()
