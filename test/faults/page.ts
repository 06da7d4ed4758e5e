// The fault matrix as the table of docs/faults.md.
import { CASES, type FaultCase, type Result, SCENES, type Scene } from './matrix.ts';

const BEGIN = '<!-- matrix: begin -->';
const END = '<!-- matrix: end -->';

/** The page's text with the part between its markers written anew. */
export function withMatrix(page: string): string {
  const begin = page.indexOf(BEGIN);
  const end = page.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`the page has no ${BEGIN} … ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${tableText()}\n${page.slice(end)}`;
}

function tableText(): string {
  const scenes = Object.keys(SCENES) as Scene[];
  const header = `| fault | where | ${scenes.map((scene) => SCENES[scene]).join(' | ')} |\n`;
  const rule = `|---|---|${'---|'.repeat(scenes.length)}\n`;
  const rows = CASES.map((one) => {
    const where = one.fault === 'refuse' ? '' : one.position.replace('-', ' ');
    const cells = scenes.map((scene) => cellOf(one, scene));
    return `| ${one.fault} | ${where} | ${cells.join(' | ')} |\n`;
  });
  return header + rule + rows.join('');
}

function cellOf(one: FaultCase, scene: Scene): string {
  const wire = textOf(one.wire[scene]);
  const undici = textOf(one.undici[scene]);
  return wire === undici ? wire : `${wire}; undici: ${undici}`;
}

function textOf({ outcome, retries, sent }: Result): string {
  return `${outcome}, ${retries} / ${sent}`;
}
