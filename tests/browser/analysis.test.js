// Models that look at pictures, in the page: the numbers of the golden cases, and what is refused.
import assert from "node:assert/strict";
import { test } from "node:test";
import { PNG, cases, golden, published, relativeError } from "./support/golden.js";
import { serve } from "./support/server.js";
import { opened } from "./support/states.js";

/** Pixels of a mask that may differ: those whose numbers are about zero. */
const BORDER = 8;

/** Runs in a page with the package, a function that makes PNG files, and an argument. */
const inPage = (page, run, argument) => {
  page.setDefaultTimeout(120_000);
  return page.evaluate(`(async () => {
    const { Segmenter, Classifier, EaselError } = await import("./easel/analysis.js");
    const { Easel } = await import("./easel/easel.js");
    return (${run})({ Segmenter, Classifier, Easel, EaselError, png: ${PNG} }, ${JSON.stringify(argument)});
  })()`);
};

/** The prompt of a golden case, under the package's names. */
function prompt({ prompt: { input_points, input_labels, input_boxes }, multimask_output }) {
  const points = input_points?.[0].map(([x, y], index) => ({ x, y, inside: input_labels[0][index] === 1 }));
  return { points, box: input_boxes?.[0][0], single: !multimask_output };
}

/** SwiftShader takes minutes to look at 1024 by 1024 pixels. */
const dear = !process.env.EASEL_PATIENCE && "EASEL_PATIENCE=1 runs it";

for (const backend of ["wasm", "webgpu"]) {
  test(`SAM's masks are those of the reference: ${backend}`, { skip: backend === "webgpu" && dear }, async (t) => {
    const page = await opened(t);
    const all = await cases("sam");
    const asked = ["point", "two_points", "box", "box_and_point", "point_and_mask"].map((name) => all.get(name));
    const model = await published("sam", (await serve(t, golden)).url);
    const prompts = asked.map((one) => ({ ...prompt(one), corrects: one.name === "point_and_mask" }));
    const got = await inPage(page, async ({ Segmenter, png }, { backend, model, image, prompts }) => {
      const segmenter = new Segmenter({ backend });
      const loaded = await segmenter.load(model);
      const picture = await segmenter.embed(await png(image));
      const [results, first] = [[], {}];
      for (const { corrects, ...prompt } of prompts) {
        const segments = await picture.segment({ ...prompt, mask: corrects ? first.logits : undefined });
        first.logits ??= segments[0].logits;
        const few = (logits) => [...logits].filter((_, at) => at % 4 === 0 && Math.floor(at / 256) % 4 === 0);
        results.push({
          iou: segments.map(({ iou }) => iou),
          logits: segments.flatMap(({ logits }) => few(logits)),
          mask: segments.flatMap(({ mask }) => [...mask]),
        });
      }
      const { width, height } = picture;
      segmenter.unload();
      return { loaded, size: [width, height], results };
    }, { backend, model, image: all.get("preprocess").arrays.image_u8, prompts });
    assert.deepEqual([got.loaded.name, got.loaded.backend, got.size], ["sam", backend, [90, 120]]);
    for (const [index, { name, tol, arrays }] of asked.entries()) {
      const { iou, logits, mask } = got.results[index];
      const errors = [relativeError(iou, arrays.iou_scores.data), relativeError(logits, arrays["low_res_masks.every4"].data)];
      assert.ok(errors[0] <= tol.f32.iou_scores, `${name}: scores differ by ${errors[0]}`);
      assert.ok(errors[1] <= tol.f32.low_res_masks, `${name}: logits differ by ${errors[1]}`);
      const expected = arrays.masks_u8.data;
      const differing = mask.filter((level, at) => level !== 255 * expected[at]).length;
      assert.equal(mask.length, expected.length);
      assert.ok(differing <= BORDER, `${name}: ${differing} pixels differ`);
    }
  });

  test(`CLIP's probabilities are those of the reference: ${backend}`, async (t) => {
    const page = await opened(t);
    const all = await cases("clip-vit");
    const { prompts, tol, arrays } = all.get("image_text");
    // Nobody asks for an empty text, which the last one is.
    const texts = prompts.slice(0, 3);
    const images = [0, 1, 2, 3].map((k) => all.get(`preprocess_${k}`).arrays.image_u8);
    const model = await published("clip-vit", (await serve(t, golden)).url);
    const got = await inPage(page, async ({ Classifier, png }, { backend, model, images, texts }) => {
      const classifier = new Classifier({ backend });
      await classifier.load(model);
      const scores = [];
      for (const image of images) scores.push(await (await classifier.embed(await png(image))).score(texts));
      classifier.unload();
      return scores;
    }, { backend, model, images, texts });
    const softmax = (logits) => logits.map((x) => Math.exp(x) / logits.reduce((sum, y) => sum + Math.exp(y), 0));
    for (const [index, scores] of got.entries()) {
      const expected = softmax(arrays.logits_per_image.data.slice(4 * index, 4 * index + 3));
      const error = relativeError(scores, expected);
      assert.ok(error <= tol.f32.probs, `picture ${index}: probabilities differ by ${error}`);
    }
  });
}

test("what cannot be selected or scored is refused by name, and what is stopped or freed stays so", async (t) => {
  const page = await opened(t);
  const { url } = await serve(t, golden);
  const models = { sam: await published("sam", url), clip: await published("clip-vit", url) };
  const image = (await cases("sam")).get("preprocess").arrays.image_u8;
  const got = await inPage(page, async ({ Segmenter, Classifier, Easel, EaselError, png }, { models, image }) => {
    const thrown = (promise) => promise.then(() => "nothing", (error) => (error instanceof EaselError ? `${error.code}: ${error.message}` : error));
    const file = await png(image);
    const segmenter = new Segmenter({ backend: "wasm" });
    const early = await thrown(segmenter.embed(file));
    await segmenter.load(models.sam);
    const picture = await segmenter.embed(file);
    const refused = [];
    for (const prompt of [
      { points: [{ x: 91, y: 3 }] },
      { points: [{ x: NaN, y: 3 }] },
      { box: [50, 50, 40, 60] },
      { points: [] },
      { point: [1, 2] },
      { points: [{ x: 1, y: 2 }], mask: new Float32Array(9) },
      { points: [{ x: 1, y: 2 }], mask: [1] },
    ]) refused.push(await thrown(picture.segment(prompt)));
    const controller = new AbortController();
    const mine = new Error("mine");
    const stopped = thrown(segmenter.embed(file, { signal: controller.signal }));
    controller.abort(mine);
    const same = (await stopped) === mine;
    const whole = { mask: new Uint8Array(12).fill(1, 5, 7), width: 4 };
    const polygons = (await picture.polygons(whole, { tolerance: 0 })).map((rings) => rings.map((ring) => ring.length / 2));
    picture.dispose();
    const gone = await thrown(picture.segment({ points: [{ x: 1, y: 2 }] }));
    const noPicture = [await thrown(segmenter.embed(new Blob(["%PDF"], { type: "image/png" }))), await thrown(segmenter.embed("a.png"))];
    // A worker that was ended begins anew with its model.
    const again = await segmenter.embed(file);
    const [first] = await again.segment({ points: [{ x: 36, y: 36 }] });
    segmenter.unload();
    const unloaded = await thrown(again.segment({ points: [{ x: 1, y: 2 }] }));
    const classifier = new Classifier({ backend: "wasm" });
    const wrongKind = [await thrown(classifier.load(models.sam)), await thrown(new Easel({ backend: "wasm" }).load(models.clip)), await thrown(classifier.load("easel-emoji"))];
    await classifier.load(models.clip);
    const scored = await classifier.embed(file);
    const texts = [];
    for (const list of [[], ["a", " "], Array(10_000).fill("x"), [3], "cat"]) texts.push(await thrown(scored.score(list)));
    texts.push(await thrown(scored.score(["x".repeat(2 ** 20)])), await thrown(scored.score(["a cat"])));
    const { use, complete } = (await new Easel().models()).find(({ name }) => name === "sam");
    return { early, refused, same, polygons, gone, noPicture, iou: first.iou, unloaded, wrongKind, texts, stored: [use, complete] };
  }, { models, image });
  assert.equal(got.early, "InvalidRequest: model: no model is loaded");
  for (const [index, said] of [
    /^InvalidRequest: roi: the point 91,3 is outside of the picture of 90x120 pixels$/,
    /^InvalidRequest: roi: the point NaN,3 is outside/,
    /^InvalidRequest: roi: the box 50,50,40,60 is empty/,
    /^InvalidRequest: roi: 0 points and no box/,
    /^InvalidRequest: options: there is no point; the nearest is points$/,
    /^InvalidRequest: mask: 9 numbers, expected the 256x256 logits/,
    /^InvalidRequest: mask: expected the logits of an earlier segment$/,
  ].entries()) assert.match(got.refused[index], said);
  assert.equal(got.same, true);
  assert.deepEqual(got.polygons, [[6]]);
  const dead = /^InvalidRequest: picture: its model is no longer loaded/;
  assert.match(got.gone, dead);
  assert.match(got.unloaded, dead);
  assert.match(got.noPicture[0], /^InvalidRequest: image: /);
  assert.equal(got.noPicture[1], "InvalidRequest: image: expected a Blob");
  assert.ok(got.iou > 0);
  assert.match(got.wrongKind[0], /^Unsupported: sam: a model that cuts out of pictures \(Segmenter\); expected one that compares/);
  assert.match(got.wrongKind[1], /^Unsupported: clip-vit: a model that compares pictures with texts \(Classifier\); expected one that draws$/);
  assert.match(got.wrongKind[2], /^Unsupported: easel-emoji: a model that draws/);
  assert.match(got.texts[0], /^InvalidRequest: texts: 0 texts/);
  assert.match(got.texts[1], /^InvalidRequest: texts: text 2 is empty$/);
  assert.match(got.texts[2], /^InvalidRequest: texts: 10000 texts/);
  for (const said of got.texts.slice(3, 5)) assert.equal(said, "InvalidRequest: texts: expected an array of strings");
  assert.match(got.texts[5], /^InvalidRequest: prompt: 1048576 bytes long/);
  assert.equal(got.texts[6], "nothing");
  assert.deepEqual(got.stored, ["segmenter", true]);
});
