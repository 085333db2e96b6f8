/** The likeliest ids of a row of logits in order, without sorting a vocabulary of 150,000 for the few that count. */

/**
 * A function that gives the first `count` ids of the row sorted by logit, the largest first and the lower id first among
 * equals.
 */
export function likeliestFirst(row: Float32Array): (count: number) => ArrayLike<number> & Iterable<number> {
  const byLogit = (a: number, b: number): number => row[b] - row[a] || a - b;
  return (count) => {
    if (count * 4 >= row.length)
      return Int32Array.from(row, (_, i) => i)
        .sort(byLogit)
        .subarray(0, count);
    const threshold = kthLargest(row, count);
    const above: number[] = [];
    const equal: number[] = [];
    for (let i = 0; i < row.length; i++) {
      if (row[i] > threshold) above.push(i);
      else if (row[i] === threshold && equal.length < count) equal.push(i);
    }
    return above.sort(byLogit).concat(equal.slice(0, count - above.length));
  };
}

/** The count-th largest value, by Hoare's selection ("Find", 1961) on a copy. */
function kthLargest(row: Float32Array, count: number): number {
  const values = row.slice();
  let [left, right] = [0, values.length - 1];
  const place = count - 1;
  while (left < right) {
    const pivot = values[(left + right) >> 1];
    let [i, j] = [left, right];
    while (i <= j) {
      while (values[i] > pivot) i++;
      while (values[j] < pivot) j--;
      if (i <= j) {
        const held = values[i];
        values[i++] = values[j];
        values[j--] = held;
      }
    }
    if (place <= j) right = j;
    else if (place >= i) left = i;
    else break;
  }
  return values[place];
}
