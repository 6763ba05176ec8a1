import type { Easel, GenerateOptions, RemoteEasel } from "./easel.js";

/** What the AI SDK asks an image model for. */
export interface ImageCall {
  prompt: string;
  n: number;
  size?: `${number}x${number}` | undefined;
  aspectRatio?: `${number}:${number}` | undefined;
  seed?: number | undefined;
  /** Under `easel`: further options of {@link Easel.generate}. */
  providerOptions?: { easel?: Partial<GenerateOptions> } & Record<string, unknown>;
  abortSignal?: AbortSignal;
  headers?: Record<string, string | undefined>;
}

/** An image model as the AI SDK knows them: `ImageModelV2` of `@ai-sdk/provider`. */
export interface ImageModel {
  readonly specificationVersion: "v2";
  readonly provider: string;
  readonly modelId: string;
  readonly maxImagesPerCall: number;
  doGenerate(call: ImageCall): Promise<{
    images: Uint8Array[];
    warnings: never[];
    response: { timestamp: Date; modelId: string; headers: undefined };
  }>;
}

/** A model that is loaded, for `generateImage({ model, prompt })`. */
export function imageModel(easel: Easel | RemoteEasel): ImageModel;
