/** The worker's script: its address is an option of `Easel`, and it exports nothing. */
export {};
