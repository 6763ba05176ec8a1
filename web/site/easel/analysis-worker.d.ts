/** The script of the workers that look at pictures: its address is an option of `Segmenter` and `Classifier`, and it exports nothing. */
export {};
