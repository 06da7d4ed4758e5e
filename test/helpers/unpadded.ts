/** A page without the blanks and dashes by which the formatter aligns the cells of its tables. */
export function unpadded(text: string): string {
  return text.replaceAll(/ *\| */g, '|').replaceAll(/-{3,}/g, '---');
}
