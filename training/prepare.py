"""A folder of text files -> the tokenizer and the corpus that training reads.

python -m training.prepare --texts FOLDER --held-out A.txt B.txt --corpus FOLDER
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from training.corpus import VOCAB_SIZE, prepare


def main(arguments: list[str] | None = None) -> None:
    """Reads the arguments and prepares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--texts", type=Path, required=True, help="folder of .txt files")
    parser.add_argument("--held-out", nargs="*", default=[], metavar="NAME", help="not trained on")
    parser.add_argument("--corpus", type=Path, required=True, help="where to write")
    parser.add_argument("--vocab-size", type=int, default=VOCAB_SIZE)
    parser.add_argument("--no-stdlib", action="store_true", help="the text files alone")
    options = parser.parse_args(arguments)

    paths = {path.name: path for path in sorted(options.texts.glob("*.txt"))}
    if missing := set(options.held_out) - set(paths):
        parser.error(f"{options.texts} holds no {', '.join(sorted(missing))}")
    start = time.perf_counter()
    corpus = prepare(
        [path for name, path in paths.items() if name not in options.held_out],
        [path for name, path in paths.items() if name in options.held_out],
        options.corpus,
        stdlib=not options.no_stdlib,
        vocab_size=options.vocab_size,
    )
    for name, (first, stop) in corpus.spans.items():
        print(f"{name:28}{stop - first:>12,} tokens")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
