"""A text generator of your own: python haiku.py MODEL [FIRST WORDS...]"""

import sys

import seqrs

if len(sys.argv) < 2:
    sys.exit(__doc__)
model = seqrs.load(sys.argv[1])
prompt = " ".join(sys.argv[2:])
lines = 0

print(prompt, end="", flush=True)
for piece in model.stream(300, prompt=prompt, temperature=0.7):
    lines += piece.count("\n")
    if lines == 3:  # enough for a haiku
        break
    print(piece, end="", flush=True)
print()
