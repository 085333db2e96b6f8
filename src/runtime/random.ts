import { createHash } from "node:crypto";
export class Random {
  private s: Uint32Array;
  constructor(...names: (string | number)[]) {
    const h = createHash("sha256").update(JSON.stringify(names)).digest();
    this.s = new Uint32Array(h.buffer.slice(h.byteOffset, h.byteOffset + 16));
  }
  private next(): number {
    const s = this.s;
    const r = Math.imul(s[1], 5);
    const result = Math.imul((r << 7) | (r >>> 25), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t;
    s[3] = (s[3] << 11) | (s[3] >>> 21);
    return result;
  }
  uniform(): number { return ((this.next() >>> 5) * 67108864 + (this.next() >>> 6)) / 9007199254740992; }
  integer(lo: number, hi: number): number { return lo + Math.floor(this.uniform() * (hi - lo + 1)); }
  pick<T>(a: readonly T[]): T { return a[this.integer(0, a.length - 1)]; }
  normal(): number { return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform()); }
  shuffle<T>(a: T[]): T[] { for (let i = a.length - 1; i > 0; i--) { const j = this.integer(0, i); [a[i], a[j]] = [a[j], a[i]]; } return a; }
  state(): number[] { return [...this.s]; }
  static fromState(state: number[]): Random { const r = new Random("x"); r.s = Uint32Array.from(state); return r; }
}
