#!/bin/sh
# Goes on training from the weights beside this file: inputs -> pool of encoded pictures -> training, until it is stopped.
# Started again it takes up its checkpoint. PICTURES=N stops after N pictures in all.
set -e
[ -d inputs/noto ] || sh get_data.sh
FONT="--font inputs/deb/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf --emojibase inputs/emojibase-data/en/data.json"
SETS="--noto inputs/noto --flat inputs/fluent-emoji-flat"
export OMP_WAIT_POLICY=passive
nice -n 19 python pool.py $FONT $SETS --config ../easel-emoji/vae --vae weights/vae-f32.safetensors --out pool --scenes ${SCENES:-80}
nice -n 19 python train.py --pool pool --work work --init weights --pictures ${PICTURES:-0}
