import type { Backend, EaselError, EaselOptions, LoadOptions, LocalModel, Memory, ModelPlan, ModelSource } from "./easel.js";
export { EaselError };

/** A model that is ready. */
export interface LoadedAnalysis {
  name: string;
  backend: "webgpu" | "wasm";
  threads: number;
  /** Why `auto` did not take WebGPU, if it did not. */
  reason?: string;
  /** Why one thread computes, where more could. */
  threadsReason?: string;
}

/** What both kinds of models have. Errors are of {@link EaselError}, but for those of an aborted signal. */
interface Analysis {
  /** The model that is loaded. */
  readonly loaded: LoadedAnalysis | undefined;
  readonly backend: Backend;
  /** The cost of loading. Asks the network, fetches no weights. */
  plan(model: ModelSource): Promise<ModelPlan>;
  /** Fetches what is missing, checks it and loads it. A broken download resumes where it stopped. */
  load(model: ModelSource, options?: LoadOptions): Promise<LoadedAnalysis>;
  /** Copies local files into the browser's storage, so that `load(name)` finds them after a reload. */
  keep(model: LocalModel, options?: LoadOptions): Promise<void>;
  /** The memory in use. */
  memory(): Promise<Memory>;
  /** Frees the model, its pictures, and all wasm memory. */
  unload(): void;
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What is meant: points, a box, or both, in pixels of the picture. */
export interface Prompt {
  /** Up to 64 points, inside of what is meant unless `inside` is false. */
  points?: { x: number; y: number; inside?: boolean }[];
  box?: [left: number, top: number, right: number, bottom: number];
  /** The {@link Segment.logits} of an earlier mask of this picture, which this prompt corrects. */
  mask?: Float32Array;
  /** One mask for a clear prompt, in place of three for one that may mean a part or the whole. */
  single?: boolean;
}

/** A mask for a prompt. */
export interface Segment {
  width: number;
  height: number;
  /** A byte for each pixel of the picture, row by row: 255 inside, 0 outside. */
  mask: Uint8Array;
  /** The predicted intersection over union with what was meant, about 0 to 1. */
  iou: number;
  /** The network's own numbers, for {@link Prompt.mask}. */
  logits: Float32Array;
}

/** A picture as a {@link Segmenter} sees it, for any number of prompts. */
export interface SegmentedPicture {
  readonly width: number;
  readonly height: number;
  /** The masks for a prompt, three or one. */
  segment(prompt: Prompt, options?: { signal?: AbortSignal }): Promise<Segment[]>;
  /**
   * The outlines of a mask: for each connected part, largest first, its outer ring and its holes; a ring is x and y in turn, in
   * pixels. They deviate by at most `tolerance` pixels, 1 if left out.
   */
  polygons(segment: Pick<Segment, "mask" | "width">, options?: { tolerance?: number; signal?: AbortSignal }): Promise<Float64Array[][]>;
  /** Frees it. */
  dispose(): void;
}

/** A picture as a {@link Classifier} sees it, for any number of texts. */
export interface ClassifiedPicture {
  /** The probability of each of 1 to 256 texts: together they are 1. */
  score(texts: string[], options?: { signal?: AbortSignal }): Promise<number[]>;
  /** Frees it. */
  dispose(): void;
}

/** Cuts things out of pictures, in a worker of its own: SAM in the layout of Hugging Face, or an original checkpoint of SAM or MobileSAM. */
export class Segmenter implements Analysis {
  /** `workerUrl` is where `analysis-worker.js` is. */
  constructor(options?: EaselOptions);
  readonly loaded: LoadedAnalysis | undefined;
  readonly backend: Backend;
  plan(model: ModelSource): Promise<ModelPlan>;
  load(model: ModelSource, options?: LoadOptions): Promise<LoadedAnalysis>;
  keep(model: LocalModel, options?: LoadOptions): Promise<void>;
  /** The picture for prompts: most of the work, done once. After a crash the model is loaded again first. */
  embed(image: Blob, options?: { signal?: AbortSignal }): Promise<SegmentedPicture>;
  memory(): Promise<Memory>;
  unload(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Says how well texts go with pictures, in a worker of its own: CLIP in the layout of Hugging Face. */
export class Classifier implements Analysis {
  /** `workerUrl` is where `analysis-worker.js` is. */
  constructor(options?: EaselOptions);
  readonly loaded: LoadedAnalysis | undefined;
  readonly backend: Backend;
  plan(model: ModelSource): Promise<ModelPlan>;
  load(model: ModelSource, options?: LoadOptions): Promise<LoadedAnalysis>;
  keep(model: LocalModel, options?: LoadOptions): Promise<void>;
  /** The picture for texts. After a crash the model is loaded again first. */
  embed(image: Blob, options?: { signal?: AbortSignal }): Promise<ClassifiedPicture>;
  memory(): Promise<Memory>;
  unload(): void;
  [Symbol.asyncDispose](): Promise<void>;
}
