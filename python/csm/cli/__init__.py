# SPDX-License-Identifier: Apache-2.0
"""The commands, and the functions of the MLX toolkit that scripts import from here."""
