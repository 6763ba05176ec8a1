// Every call of the package as a TypeScript program writes it. It is compiled, not run.
import { detect, Easel, EaselError, RemoteEasel } from "../../web/site/easel/easel.js";
import { imageModel } from "../../web/site/easel/ai.js";
import { Classifier, Segmenter } from "../../web/site/easel/analysis.js";
import type { Prompt, Segment } from "../../web/site/easel/analysis.js";
import type { Capabilities, ComposedModel, ErrorCode, LoadedModel, LocalModel, Memory, ModelPlan, Picture, Progress, PublishedModel, Settings, StoredModel } from "../../web/site/easel/easel.js";

export async function everything(file: File, show: (picture: ImageData) => void): Promise<string> {
  const { webgpu, threads, storage }: Capabilities = await detect();
  const backend = webgpu.available ? "webgpu" : "auto";
  const easel = new Easel({ backend, base: new URL("https://example.org/models/"), hub: "https://hub.example" });
  const controller = new AbortController();
  const { signal } = controller;
  const onProgress = ({ phase, step, of, seconds }: Progress) => console.log(phase, step / of, seconds.toFixed());
  const onCdn = new Easel({ workerUrl: "https://cdn.example/easel/worker.js", wasmUrl: "https://cdn.example/easel/" });
  await onCdn[Symbol.asyncDispose]();
  const plan: ModelPlan = await easel.plan("owner/name");
  if (plan.refusal) throw new Error(plan.refusal);
  await easel.prepare({ onProgress, signal });
  const tooLarge: string | undefined = await easel.fits(2e9);
  const mine: LocalModel = { name: "mine", files: [["model.safetensors", file]] };
  const loaded: LoadedModel = await easel.load(mine, { onProgress, onWarning: console.warn, signal });
  const address = "https://cdn.example/model.safetensors";
  const published: PublishedModel = { name: "theirs", files: [{ path: "model.safetensors", size: 1e9, url: address }] };
  await easel.load(published);
  await easel.keep(mine, { onProgress, signal });
  const parts: ComposedModel = { name: "flux", components: { transformer: file, vae: file, tokenizer_2: [["tokenizer.json", file]] } };
  await easel.load(parts, { onProgress, signal });
  await easel.load({ name: "flux", components: { transformer: "https://example.org/flux1.gguf", vae: "https://example.org/ae.safetensors" } });
  const { width, height, steps, guidanceScale, scheduler } = loaded.defaults;
  const picture: Picture = await easel.generate({
    prompt: "a red apple",
    negativePrompt: "a face",
    seed: 2n ** 64n - 1n,
    ...{ width, height, steps, guidanceScale, scheduler },
    initImage: file,
    strength: 0.5,
    mask: file,
    signal,
    onProgress,
    onPreview: show,
    previewEvery: "auto",
  });
  const settings: Settings | undefined = await easel.readSettings(picture.image);
  const stored: StoredModel[] = await easel.models();
  const answer: Response = await easel.fetch("/generate", { method: "POST", body: JSON.stringify({ prompt: "a cat" }), signal });
  const { wasm, gpu, model }: Memory = await easel.memory();
  await easel.purge("mine");
  await easel.purge();
  easel.backend = "wasm";
  easel.unload();
  const either: Easel | RemoteEasel = new RemoteEasel("https://example.org", (url, options) => easel.fetch(url, options));
  const { seed }: Picture = await either.generate({ prompt: (await easel.schedulers()).join(), signal });
  for await (const event of easel.events({ prompt: "a red apple" })) {
    if (event.type === "progress") console.log(event.progress.overall, tooLarge);
    if (event.type === "picture") show(new ImageData(event.picture.width, event.picture.height));
  }
  try {
    await easel.load("nothing");
  } catch (error) {
    const code: ErrorCode | undefined = error instanceof EaselError ? error.code : undefined;
    console.log(code);
  }
  const { images } = await imageModel(easel).doGenerate({ prompt: "a red apple", n: 2, aspectRatio: "16:9", abortSignal: signal });
  console.log(images.length);
  // @ts-expect-error: a prompt there has to be.
  await easel.generate({});
  // @ts-expect-error: nothing else computes.
  easel.backend = "cuda";
  // @ts-expect-error: it is what was loaded.
  easel.loaded = undefined;
  return [threads, storage.quota, settings?.seed, stored.length, answer.status, wasm + gpu + model, seed].join();
}

export async function seeing(file: File, signal: AbortSignal): Promise<string> {
  await using segmenter = new Segmenter({ backend: "auto", workerUrl: "https://cdn.example/easel/analysis-worker.js" });
  const { name, threads } = await segmenter.load("dhkim2810/MobileSAM", { onProgress: ({ overall }) => console.log(overall), signal });
  const picture = await segmenter.embed(file, { signal });
  const prompt: Prompt = { points: [{ x: 1, y: 2 }, { x: 3, y: 4, inside: false }], box: [0, 0, picture.width, picture.height] };
  const [best]: Segment[] = await picture.segment(prompt, { signal });
  const [again] = await picture.segment({ ...prompt, mask: best.logits, single: true });
  const rings: Float64Array[][] = await picture.polygons(again, { tolerance: 2 });
  picture.dispose();
  const classifier = new Classifier();
  await classifier.load({ name: "clip", files: [["config.json", file]] });
  const scores: number[] = await (await classifier.embed(file)).score(["a cat", "a dog"], { signal });
  classifier.unload();
  // @ts-expect-error: a box has four numbers.
  await picture.segment({ box: [1, 2] });
  return [name, threads, best.iou, rings.length, scores.length, (await segmenter.memory()).wasm].join();
}
