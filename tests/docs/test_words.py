# SPDX-License-Identifier: Apache-2.0
"""How hard README and tutorial are to read: the grade of Flesch and Kincaid, by textstat, and the length of
sentences. `python tests/docs/test_words.py FILE...` prints the figures of any pages."""

import pathlib
import re
import sys

import pytest
import textstat

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/TUTORIAL.md", "docs/HOWTO.md", "docs/GLOSSARY.md", "docs/DRAWS.md"]
GRADE, WORDS = 9, 30
HARDEST = 10  # of the pages for those who know what they look for


def blocks(markdown, has_tables):
    """What is prose in a page: paragraphs and list items, and, if asked for, cells of tables. A heading is
    no sentence. Code in a line counts as one short word, since nobody reads it syllable by syllable."""
    text = re.sub(r"```.*?```", "", markdown, flags=re.S)
    text = re.sub(r"<[^>]*>|^#.*$|^\|[ |:-]*\|$", "", text, flags=re.M)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"`[^`]*`", "name", text)
    text = re.sub(r"^(\s*([-*]|\d+\.) |\|)", r"\n\1", text, flags=re.M)
    for block in re.split(r"\n\s*\n", text):
        block = " ".join(block.split())
        if block.startswith("|"):
            for cell in block.strip("|").split("|") if has_tables else []:
                yield cell.strip()
        elif block:
            yield re.sub(r"^([-*]|\d+\.) |[*]", "", block)


def sentences(block):
    """A full stop inside a number or a name of a file ends nothing."""
    return [s for s in re.split(r"(?<=[.!?])\s+", block) if re.search("[A-Za-z]", s)]


def prose(page, has_tables=False):
    return [s if s[-1] in ".!?" else s.rstrip(":;,") + "." for block in blocks(page, has_tables)
            for s in sentences(block)]


def grade(page, has_tables=False):
    """textstat takes any point for the end of a sentence: those within a number or a name are taken out."""
    return textstat.flesch_kincaid_grade(" ".join(re.sub(r"[.!?](?=\S)", "", s) for s in prose(page, has_tables)))


def longest(page):
    return max((len(s.split()), s) for block in blocks(page, True) for s in sentences(block))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_easy_to_read(name):
    page, is_a_table = (ROOT / name).read_text(), name == "docs/GLOSSARY.md"
    assert len(prose(page, is_a_table)) > 10
    assert grade(page, is_a_table) <= GRADE
    n_words, sentence = longest(page)
    assert n_words <= WORDS, sentence


@pytest.mark.parametrize("path", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.stem)
def test_every_page_can_be_read(path):
    page = path.read_text()
    assert grade(page, has_tables=len(prose(page)) < 10) <= HARDEST


def test_the_measure_itself():
    """The formula, 0.39 words a sentence + 11.8 syllables a word - 15.59, over what can be counted by hand:
    9 words of 9 syllables in 2 sentences; and a list, a table, code and a heading that are left out."""
    page = "# Not this\n\nThe cat sat down.\n\n```\nno code. no code.\n```\n\n| no | table |\n| --- | --- |\n\n- The dog ran 1.5 off"
    assert grade(page) == pytest.approx(0.39 * 4.5 + 11.8 * 1 - 15.59)
    assert longest("one two three. four") == (3, "one two three.")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        text = pathlib.Path(name).read_text()
        print(f"{name}: grade {grade(text):.1f}, {len(prose(text))} sentences, the longest of {longest(text)[0]} words")
