/** The model, for `Easel.load` of the package `easel-web`. */
declare const model: {
  name: string;
  usual: { steps: number; guidanceScale: number };
  files: { path: string; size: number; sha256: string; url: string }[];
};
export default model;
