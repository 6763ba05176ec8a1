/** What this browser and this device can do. */
export interface Capabilities {
  /** WebGPU: the adapter, or the reason why it is missing. */
  webgpu: {
    available: boolean;
    adapter?: string;
    /** Whether the adapter is a program on the processor, which `auto` does not take. */
    software?: boolean;
    f16?: boolean;
    maxBufferSize?: number;
    reason?: string;
  };
  /** WebAssembly with vector instructions, which everything needs. */
  simd: boolean;
  /** Whether the page may share memory between threads (COOP and COEP headers). */
  crossOriginIsolated: boolean;
  /** Threads that would compute. */
  threads: number;
  /** Bytes of memory, a coarse figure, in browsers that tell. */
  deviceMemory?: number;
  /** Where models are kept: bytes taken and bytes allowed. */
  storage: { available: boolean; usage: number; quota: number; persisted: boolean };
}

/** What computes: `auto` is WebGPU on a real graphics device, else WebAssembly. */
export type Backend = "auto" | "webgpu" | "wasm";

/**
 * Files of a model at hand: a diffusers folder with paths relative to it, one checkpoint (safetensors, GGUF, PyTorch), or
 * several that are parts of one model, each told by its tensors.
 */
export interface LocalModel {
  name: string;
  files: [path: string, file: Blob][];
}

/** A model whose files are at known addresses, such as the one that the package `easel-emoji` exports. */
export interface PublishedModel {
  name: string;
  /** A diffusers folder with paths relative to it, or one checkpoint; sizes in bytes, digests in hexadecimal digits. */
  files: { path: string; size: number; sha256?: string; url: string }[];
  /** What suits the model. */
  usual?: { steps: number; guidanceScale: number };
}

/**
 * A model put together from parts: `transformer` or `unet`, `vae`, `text_encoder`, `text_encoder_2`, `text_encoder_3`, and the
 * tokenizers. The denoiser's file says what model it is, and may hold other parts too. Each part is an address or a file; a
 * tokenizer is its `tokenizer.json`, and a folder of diffusers a list of files. All parts are at addresses, or all are files.
 */
export interface ComposedModel {
  name: string;
  components: { [part: string]: string | Blob | [path: string, file: Blob][] };
}

/**
 * A model: the name of a bundled or cached one, a repository on the hub (`owner/name`), an address of a checkpoint or of a
 * `manifest.json`, what a model package exports, files at hand, or parts. The address of a checkpoint may end in `#sha256=` and
 * the expected digest.
 */
export type ModelSource = string | PublishedModel | LocalModel | ComposedModel;

/** What a model is for that does not draw: `Segmenter` and `Classifier` of `easel-web/analysis` load it. */
export type Use = "segmenter" | "classifier";

/** A model in the browser's storage. */
export interface StoredModel {
  name: string;
  /** Bytes in all, and bytes that are here. */
  size: number;
  stored: number;
  /** Whether all of it is here. */
  complete: boolean;
  /** Where it came from, unless it was a local file. */
  url?: string;
  /** What it is for, if it does not draw. */
  use?: Use;
}

/** The cost of loading a model. */
export interface ModelPlan extends StoredModel {
  /** About how many bytes of memory it needs, with room to compute. */
  memory: number;
  /** Why it cannot be loaded here, if it cannot. */
  refusal?: string;
}

/** One moment of loading or drawing. */
export interface Progress {
  /**
   * `wait` means that another tab is fetching the same model; `program`, that the module that computes is being fetched;
   * `prepare`, that the graphics device compiles its kernels before a first picture.
   */
  phase: "wait" | "program" | "download" | "verify" | "load" | "prepare" | "encode" | "denoise" | "decode";
  /** Units done and units in all: bytes, components, denoiser calls, pictures. */
  step: number;
  of: number;
  /** Since the beginning. */
  seconds: number;
  /** How far the whole call is, from 0 to 1: it never falls. */
  overall: number;
}

/** A model that is ready. */
export interface LoadedModel {
  name: string;
  backend: "webgpu" | "wasm";
  threads: number;
  /** Why `auto` did not take WebGPU, if it did not. */
  reason?: string;
  /** Why one thread computes, where more could. */
  threadsReason?: string;
  defaults: { width: number; height: number; steps: number; guidanceScale: number; scheduler: string };
}

/** A model that a server draws with. */
export interface RemoteModel {
  name: string;
  backend: "server";
}

export interface LoadOptions {
  onProgress?(progress: Progress): void;
  onWarning?(message: string): void;
  signal?: AbortSignal;
}

/** One picture to draw. Options that are left out are the model's own choice. */
export interface GenerateOptions extends LoadOptions {
  prompt: string;
  negativePrompt?: string;
  /** 0 to 2^64-1; a random one if left out. */
  seed?: number | bigint;
  steps?: number;
  guidanceScale?: number;
  /** FLUX.1 dev: how strongly to avoid the negative prompt, above 1; doubles the work. */
  trueCfgScale?: number;
  guidanceRescale?: number;
  eta?: number;
  width?: number;
  height?: number;
  scheduler?: string;
  clipSkip?: number;
  /** Read `(word:1.3)` and `[word]` as weights. */
  weighting?: boolean;
  /** Read prompts of more than one window. */
  longPrompts?: boolean;
  /** A picture to start from, and how much to change it, 0 to 1. */
  initImage?: Blob;
  strength?: number;
  /** Where to draw: white is redrawn, black is kept. */
  mask?: Blob;
  /**
   * Called with the unfinished picture, every `previewEvery` steps, or as often as it takes a fifth of the time
   * at most (`auto`, the default).
   */
  onPreview?(preview: ImageData): void;
  previewEvery?: number | "auto";
}

/** A finished picture. */
export interface Picture {
  /** The PNG file, with the settings inside. */
  image: Blob;
  width: number;
  height: number;
  seed: number | bigint;
  /** The settings as AUTOMATIC1111 writes them; a server writes them only into the file. */
  parameters?: string;
  seconds: number;
}

/** The settings inside a picture file, under the names of {@link GenerateOptions}. */
export interface Settings {
  prompt: string;
  negativePrompt?: string;
  steps?: number;
  guidanceScale?: number;
  /** As the file names it. */
  scheduler?: string;
  /** As {@link Easel.schedulers} names it, if it is there. */
  schedulerName?: string;
  /** In decimal digits. */
  seed?: string;
  width?: number;
  height?: number;
  strength?: number;
  model?: string;
}

export interface Memory {
  /** Bytes of wasm memory. */
  wasm: number;
  /** Bytes of graphics memory. */
  gpu: number;
  /** Bytes of the model's files. */
  model: number;
}

/** What the browser and the device can do. Cheap; starts no worker. */
export function detect(): Promise<Capabilities>;

/** What went wrong. */
export type ErrorCode =
  | "InvalidRequest"
  | "ModelError"
  | "ReadError"
  | "NetworkError"
  | "ChecksumError"
  | "QuotaExceededError"
  | "DeviceError"
  | "DeviceLost"
  | "BackendError"
  | "OutOfMemory"
  | "NotFinite"
  | "ServerError"
  | "Unsupported"
  | "WorkerError"
  | "AbortError"
  | "Error";

/** An error of the package; `name` is the same as `code`. A call that was aborted throws its signal's reason instead. */
export class EaselError extends Error {
  constructor(code: ErrorCode, message: string);
  readonly code: ErrorCode;
}

/** One thing that happens while a picture is drawn. */
export type DrawingEvent =
  | { type: "progress"; progress: Progress }
  | { type: "preview"; preview: ImageData }
  | { type: "warning"; message: string }
  | { type: "picture"; picture: Picture };

export interface EaselOptions {
  backend?: Backend;
  /** The folder of bundled models; by default `../models/` beside this file. */
  base?: string | URL;
  /** The hub's address. */
  hub?: string;
  /** Where `worker.js` is, with the files of the package beside it, if it is not beside this file; it may be another origin. */
  workerUrl?: string | URL;
  /** The folder that has `wasm/`, `threads/`, `analysis/` and `interface/`, if it is not that of the worker. */
  wasmUrl?: string | URL;
}

/** A worker that draws pictures. Errors are of {@link EaselError}, but for those of an aborted signal. */
export class Easel {
  constructor(options?: EaselOptions);
  /** The model that is loaded. */
  readonly loaded: LoadedModel | undefined;
  /** What computes. Changing it starts another worker, and the next picture loads the model again. */
  backend: Backend;
  /** Fetches and starts the module that computes, which every other call does when it needs it. */
  prepare(options?: LoadOptions): Promise<void>;
  /** Why a model of this many bytes could not be loaded here; `undefined` if it can. */
  fits(size: number): Promise<string | undefined>;
  /** The cost of loading. Asks the network, fetches no weights. */
  plan(model: ModelSource): Promise<ModelPlan>;
  /** Fetches what is missing, checks it and loads it. A broken download resumes where it stopped. */
  load(model: ModelSource, options?: LoadOptions): Promise<LoadedModel>;
  /** Copies local files into the browser's storage, so that `load(name)` finds them after a reload. */
  keep(model: LocalModel | ComposedModel, options?: LoadOptions): Promise<void>;
  /**
   * Draws one picture. After a crash the model is loaded again first. A lost graphics device is opened again, with a warning,
   * and the picture continues from its last step.
   */
  generate(options: GenerateOptions): Promise<Picture>;
  /** The same as events for `for await`, the picture last. Leaving the loop cancels it. */
  events(options: GenerateOptions): AsyncGenerator<DrawingEvent>;
  /**
   * Answers a request of Easel's HTTP interface, the same routes as a server's, with the model that is loaded. Only path and
   * query of the address matter. Tasks and the last 64 pictures live as long as the worker.
   */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** Models in the browser's storage. */
  models(): Promise<StoredModel[]>;
  /** The names of schedulers: those that can sample the model that is loaded, or all of them. */
  schedulers(): Promise<string[]>;
  /** The settings inside a picture file, if it has any. */
  readSettings(file: Blob): Promise<Settings | undefined>;
  /** Deletes a model, or all of them, from the browser's storage. */
  purge(name?: string): Promise<void>;
  /** The memory in use. */
  memory(): Promise<Memory>;
  /** Frees the model and all wasm memory. */
  unload(): void;
  /** The same, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A device that a server can compute on. */
export interface ServerDevice {
  id: string;
  name: string;
  kind: string;
  selected: boolean;
}

/** An Easel server with the methods of {@link Easel} that draw. It is asked with `fetch`. */
export class RemoteEasel {
  constructor(address: string | URL, fetch?: (url: string, options: RequestInit) => Promise<Response>);
  readonly loaded: RemoteModel | undefined;
  /** Asks for the server's health. */
  load(options?: LoadOptions): Promise<RemoteModel>;
  /** The devices of the server's machine, and which of them it computes on. */
  devices(options?: LoadOptions): Promise<ServerDevice[]>;
  /** Draws one picture with the server's model and scheduler. A connection that breaks meanwhile is made anew. */
  generate(options: GenerateOptions): Promise<Picture>;
}
