# SPDX-License-Identifier: Apache-2.0
"""Reading matter: English sentences that are free to learn from, one a line.

    sentences.py --wordnet DIR --jargon FILE --count N --out sentences.txt.gz

Three sources, all free (voice/README.md has the licences): WordNet's glosses, examples and
lemmas; the Jargon File; the grammar beside this file. Sentences that equal a held-out one,
or share five words in a row with it, are left out.
"""
import argparse
import collections
import gzip
import pathlib
import random
import re

HERE = pathlib.Path(__file__).parent
LONGEST = 130          # characters; a longer sentence is cut where a clause ends
LEAK_WORDS = 5         # words in a row that no sentence may share with the held-out text

SPEAKABLE = re.compile(r"^[A-Za-z0-9 ,.;:?!'\"()$%&/+-]+$")
UNKIND = re.compile(r'slur|offensive|disparag|obscen|vulgar|derogat|sexual|nigger|fuck|shit|cunt', re.I)
TYPOGRAPHY = str.maketrans({'\u2019': "'", '\u2018': "'", '\u201c': '"', '\u201d': '"',
                            '\u2014': ', ', '\u2013': '-', '`': "'"})


def words_of(text):
    """The words of a text in lower case, without marks: what two sentences are compared by."""
    return re.findall(r"[a-z0-9']+", text.lower())


class HeldOut:
    """The sentences that the voice is judged by, and whether another one leaks them."""

    def __init__(self, path):
        spoken = [line.split('|')[0].strip() for line in path.read_text().splitlines()]
        self.whole = {tuple(words_of(s)) for s in spoken if s}
        self.runs = {run for s in self.whole for run in self._runs(s)}

    @staticmethod
    def _runs(words):
        return [tuple(words[i:i + LEAK_WORDS]) for i in range(len(words) - LEAK_WORDS + 1)]

    def leaked_by(self, sentence):
        words = words_of(sentence)
        return tuple(words) in self.whole or any(run in self.runs for run in self._runs(words))


class Corpus:
    """Distinct sentences, in the order they came."""

    def __init__(self, held_out, rng):
        self.held_out, self.rng = held_out, rng
        self.seen, self.lines, self.leaks = set(), [], 0
        self.by_source = collections.Counter()

    def add(self, source, text):
        """Clean one sentence and keep it, in parts when it is long. True if it was new."""
        text = re.sub(r'\s+', ' ', text.translate(TYPOGRAPHY).replace("''", '"')).strip(' ;,-')
        if len(text) > LONGEST:
            return any([self.add(source, part) for part in clauses(text)])
        letters = sum(c.isalpha() for c in text)
        if len(text) < 2 or not SPEAKABLE.match(text) or UNKIND.search(text):
            return False
        if source != 'grammar' and letters < 0.6 * len(text):
            return False
        if text[0].islower() and self.rng.random() < 0.7:
            text = text[0].upper() + text[1:]
        if text[-1] not in '.!?' and self.rng.random() < 0.7:
            text += '.'
        if text.lower() in self.seen:
            return False
        if self.held_out.leaked_by(text):
            self.leaks += 1
            return False
        self.seen.add(text.lower())
        self.lines.append(text)
        self.by_source[source] += 1
        return True


def clauses(text):
    """Cut a long sentence at its clause marks into parts of at most LONGEST characters."""
    part = ''
    for clause in re.split(r'(?<=[;:,])\s+', text):
        if part and len(part) + len(clause) + 1 > LONGEST:
            yield part
            part = clause
        else:
            part = f'{part} {clause}'.strip()
    if len(part) <= LONGEST:
        yield part


def add_wordnet(corpus, directory):
    """Glosses and examples into the corpus. Returns the lemmas with how often texts use them."""
    lemmas = collections.Counter()
    for kind in ('noun', 'verb', 'adj', 'adv'):
        for line in (directory / f'data.{kind}').read_text(encoding='latin1').splitlines():
            if line.startswith(' ') or '|' not in line:
                continue
            head, gloss = line.split('|', 1)
            fields = head.split()
            n_words = int(fields[3], 16)
            names = [re.sub(r'\(.*', '', w).replace('_', ' ') for w in fields[4:4 + 2 * n_words:2]]
            lemmas.update(n for n in names if n.isalpha() and n.isascii() and len(n) > 2)
            for example in re.findall(r'"([^"]+)"', gloss):
                corpus.add('wordnet examples', example)
            gloss = re.sub(r'"[^"]*"|\([^)]*\)', '', gloss)
            for i, part in enumerate(p.strip() for p in gloss.split(';')):
                if len(part) <= 8:
                    continue
                if i == 0 and kind == 'noun' and corpus.rng.random() < 0.5:
                    form = corpus.rng.choice(['{} is {}', '{}: {}', '{}, {}', 'The word {} means {}'])
                    part = form.format(names[0], part)
                corpus.add('wordnet glosses', part)
    return lemmas


def add_jargon(corpus, path):
    """The Jargon File's prose, sentence by sentence."""
    text = gzip.open(path, 'rt', encoding='utf8', errors='replace').read()
    text = re.sub(r'\[[^\]]*\]', ' ', text)
    text = re.sub(r'\{([^}]*)\}', r'\1', text)
    for paragraph in re.split(r'\n\s*\n', text):
        paragraph = re.sub(r'^\s*(\d+\.|\([a-z]\))\s*', '', re.sub(r'\s+', ' ', paragraph))
        for sentence in re.split(r'(?<=[.!?])\s+(?=[A-Z"\'(])', paragraph):
            if len(sentence) >= 12:
                corpus.add('jargon', sentence)


class Grammar:
    """Draws sentences from grammar.txt."""

    def __init__(self, path, rng, common, rare):
        self.rng, self.rules = rng, {'common': common, 'rare': rare}
        for line in path.read_text().splitlines():
            if not line.strip() or line.startswith('#'):
                continue
            if line.startswith(' '):
                self.rules[name].append(line.strip())
            else:
                name = line.strip()
                self.rules[name] = []

    def draw(self, name='sentence'):
        text = re.sub(r'\{([^}]+)\}', self._fill, self.rng.choice(self.rules[name]))
        if name != 'sentence':
            return text
        text = re.sub(r'\b([Aa]) (?=[aeiou])', r'\1n ', text)
        return text[0].upper() + text[1:]

    def _fill(self, match):
        numbers = re.fullmatch(r'(-?\d+)-(\d+)', match[1])
        if numbers:
            return str(self.rng.randint(int(numbers[1]), int(numbers[2])))
        return self.draw(match[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--wordnet', type=pathlib.Path, required=True, help="WordNet's directory of data.* files")
    parser.add_argument('--jargon', type=pathlib.Path, required=True, help='jargon.dict.dz')
    parser.add_argument('--heldout', type=pathlib.Path, default=HERE.parent / 'heldout.txt')
    parser.add_argument('--count', type=int, default=400_000, help='sentences in all')
    parser.add_argument('--seed', type=int, default=7)
    parser.add_argument('--out', type=pathlib.Path, required=True)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    corpus = Corpus(HeldOut(args.heldout), rng)
    lemmas = add_wordnet(corpus, args.wordnet)
    add_jargon(corpus, args.jargon)

    used = collections.Counter(w for line in corpus.lines for w in words_of(line) if w.isalpha())
    common = [w for w, _ in used.most_common(9000) if len(w) > 2]
    rare = [w for w in lemmas if used[w.lower()] < 6]
    grammar = Grammar(HERE / 'grammar.txt', rng, common, rare)
    while len(corpus.lines) < args.count:
        corpus.add('grammar', grammar.draw())

    rng.shuffle(corpus.lines)
    with gzip.GzipFile(args.out, 'wb', mtime=0) as f:
        f.write('\n'.join(corpus.lines[:args.count]).encode('ascii') + b'\n')
    print(f'{min(args.count, len(corpus.lines))} sentences {dict(corpus.by_source)}; '
          f'left out for leaking held-out text: {corpus.leaks}')


if __name__ == '__main__':
    main()
