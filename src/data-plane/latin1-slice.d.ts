// A method of Node's buffers that its types leave out: toString('latin1', start, end) without its looking at what is asked.
interface Buffer {
  latin1Slice(start: number, end: number): string;
}
