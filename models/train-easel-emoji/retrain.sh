#!/bin/sh
# One command: inputs -> latents -> training (~1 h on 2 CPU cores) -> model folder -> contact sheet, figures, golden cases.
set -e
FONT=inputs/deb/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf; NAMES=inputs/package/en/data.json
[ -f "$NAMES" ] && [ -f "$FONT" ] && [ -d inputs/taesd ] || sh get_data.sh
python train.py --font $FONT --emojibase $NAMES --taesd inputs/taesd --out ../easel-emoji --minutes ${MINUTES:-60} --compile
python make_cases.py --model ../easel-emoji --out ../../tests/golden/easel-emoji
python evaluate.py --model ../easel-emoji --font $FONT --emojibase $NAMES --out ../../tests/golden/easel-emoji
