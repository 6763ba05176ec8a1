// A Stable Diffusion 3 of random weights in parts, as GGUF files are published: the names of its authors, of transformers and
// of llama.cpp, matrices in Q8_0. Small, but with the widths of heads by which such files are read.

/** Channels of one head, of the denoiser, and of T5. */
const WIDTH = 64;
const LAYERS = 2;
/** Tokens of CLIP and of T5. */
const CLIP_TOKENS = 49408;
const T5_TOKENS = 32128;
const T5_WIDTH = 256;
const CLIPS = { clip_l: 64, clip_g: 128 };

/** GGUF's numbers for types. */
const F32 = 0;
const Q8_0 = 8;
const BLOCK = 32;

/** The same bytes on each run, from -127 to 127. */
const noise = (() => {
  const bytes = new Int8Array(1 << 16);
  let state = 1;
  for (let index = 0; index < bytes.length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = (state >>> 24) % 255 - 127;
  }
  return bytes;
})();

/** @typedef {[name: string, shape: number[]]} Tensor */

/** A layer with bias. @returns {Tensor[]} */
const layer = (name, out, inner) => [[`${name}.weight`, [out, inner]], [`${name}.bias`, [out]]];
/** A norm. @returns {Tensor[]} */
const norm = (name, width) => [[`${name}.weight`, [width]], [`${name}.bias`, [width]]];

/** @returns {Tensor[]} */
function denoiser() {
  const side = (name, isRead) => [
    ...layer(`${name}.attn.qkv`, 3 * WIDTH, WIDTH),
    ...layer(`${name}.adaLN_modulation.1`, (isRead ? 2 : 6) * WIDTH, WIDTH),
    ...(isRead ? [] : [...layer(`${name}.attn.proj`, WIDTH, WIDTH), ...layer(`${name}.mlp.fc1`, 4 * WIDTH, WIDTH), ...layer(`${name}.mlp.fc2`, WIDTH, 4 * WIDTH)]),
  ];
  const blocks = Array.from({ length: LAYERS }, (_, block) => [
    ...side(`joint_blocks.${block}.x_block`, false),
    ...side(`joint_blocks.${block}.context_block`, block === LAYERS - 1),
  ]);
  return [
    ["pos_embed", [1, 256, WIDTH]],
    ["x_embedder.proj.weight", [WIDTH, 16, 2, 2]],
    ["x_embedder.proj.bias", [WIDTH]],
    ...layer("t_embedder.mlp.0", WIDTH, 256),
    ...layer("t_embedder.mlp.2", WIDTH, WIDTH),
    ...layer("y_embedder.mlp.0", WIDTH, CLIPS.clip_l + CLIPS.clip_g),
    ...layer("y_embedder.mlp.2", WIDTH, WIDTH),
    ...layer("context_embedder", WIDTH, T5_WIDTH),
    ...blocks.flat(),
    ...layer("final_layer.adaLN_modulation.1", 2 * WIDTH, WIDTH),
    ...layer("final_layer.linear", 64, WIDTH),
  ];
}

/** @returns {Tensor[]} */
function clip(width, isProjected) {
  const layers = Array.from({ length: LAYERS }, (_, number) => {
    const at = `text_model.encoder.layers.${number}`;
    const attention = ["q_proj", "k_proj", "v_proj", "out_proj"].flatMap((part) => layer(`${at}.self_attn.${part}`, width, width));
    return [...norm(`${at}.layer_norm1`, width), ...norm(`${at}.layer_norm2`, width), ...attention, ...layer(`${at}.mlp.fc1`, 4 * width, width), ...layer(`${at}.mlp.fc2`, width, 4 * width)];
  });
  return [
    ["text_model.embeddings.token_embedding.weight", [CLIP_TOKENS, width]],
    ["text_model.embeddings.position_embedding.weight", [77, width]],
    ...layers.flat(),
    ...norm("text_model.final_layer_norm", width),
    ...(isProjected ? [/** @type {Tensor} */ (["text_projection.weight", [width, width]])] : []),
  ];
}

/** @returns {Tensor[]} */
function t5() {
  const [inner, wide] = [WIDTH, 2 * T5_WIDTH];
  return [
    ["token_embd.weight", [T5_TOKENS, T5_WIDTH]],
    ["enc.blk.0.attn_norm.weight", [T5_WIDTH]],
    ...["q", "k", "v"].map((part) => /** @type {Tensor} */ ([`enc.blk.0.attn_${part}.weight`, [inner, T5_WIDTH]])),
    ["enc.blk.0.attn_o.weight", [T5_WIDTH, inner]],
    ["enc.blk.0.attn_rel_b.weight", [32, 1]],
    ["enc.blk.0.ffn_norm.weight", [T5_WIDTH]],
    ["enc.blk.0.ffn_gate.weight", [wide, T5_WIDTH]],
    ["enc.blk.0.ffn_up.weight", [wide, T5_WIDTH]],
    ["enc.blk.0.ffn_down.weight", [T5_WIDTH, wide]],
    ["enc.output_norm.weight", [T5_WIDTH]],
  ];
}

const elements = (shape) => shape.reduce((product, size) => product * size, 1);
const isMatrix = (name, shape) => shape.length === 2 && shape[1] % BLOCK === 0 && !/pos|rel_b/.test(name);

/** The bytes of one tensor: norms are one, biases zero, and the rest noise that keeps the power of what it multiplies. */
function bytes(name, shape) {
  const count = elements(shape);
  const exponent = -Math.round(Math.log2(73 * Math.sqrt(count / shape[0])));
  if (isMatrix(name, shape)) {
    const blocks = Buffer.alloc((count / BLOCK) * (BLOCK + 2));
    for (let block = 0; block * BLOCK < count; block++) {
      const at = block * (BLOCK + 2);
      // A power of two as a half-precision number.
      blocks.writeUInt16LE((15 + exponent) << 10, at);
      const from = (block * BLOCK) % (noise.length - BLOCK);
      for (let index = 0; index < BLOCK; index++) blocks.writeInt8(noise[from + index], at + 2 + index);
    }
    return blocks;
  }
  const isNorm = /norm/.test(name) && name.endsWith("weight");
  const floats = new Float32Array(count);
  if (isNorm) floats.fill(1);
  else if (!name.endsWith("bias")) floats.forEach((_, index) => (floats[index] = noise[index % noise.length] * 2 ** exponent));
  return Buffer.from(floats.buffer);
}

/** A GGUF file of these tensors. @param {Tensor[]} tensors */
function gguf(tensors) {
  const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
  const u64 = (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
  const text = (value) => Buffer.concat([u64(value.length), Buffer.from(value)]);
  const padded = (length) => Math.ceil(length / 32) * 32;
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(1), text("general.architecture"), u32(8), text("sd3")];
  const data = [];
  let offset = 0;
  for (const [name, shape] of tensors) {
    const kind = isMatrix(name, shape) ? Q8_0 : F32;
    head.push(text(name), u32(shape.length), ...[...shape].reverse().map(u64), u32(kind), u64(offset));
    const own = bytes(name, shape);
    data.push(own, Buffer.alloc(padded(own.length) - own.length));
    offset += padded(own.length);
  }
  const header = Buffer.concat(head);
  return Buffer.concat([header, Buffer.alloc(padded(header.length) - header.length), ...data]);
}

/** The files of the model but for the autoencoder: `denoiser`, `clip_l`, `clip_g` and `t5`. */
export const parts = () => ({
  denoiser: gguf(denoiser()),
  clip_l: gguf(clip(CLIPS.clip_l, false)),
  clip_g: gguf(clip(CLIPS.clip_g, true)),
  t5: gguf(t5()),
});
