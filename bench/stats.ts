/** Pure arithmetic on samples. */

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** The nearest-rank percentile; the mean of the middle two for an even median. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  if (sorted.length === 0) return Number.NaN;
  const rank = (p / 100) * sorted.length;
  const at = sorted[Math.min(sorted.length, Math.max(1, Math.ceil(rank))) - 1] as number;
  const next = sorted[rank];
  return p === 50 && Number.isInteger(rank) && next !== undefined ? (at + next) / 2 : at;
}

/** Least squares: how much y grows for one x. */
export function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (index: 0 | 1) => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const over = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  const under = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  return over / under;
}
