/** Works each question out once, since the tests judge many answers to it. */
export function remembered<T>(work: (question: string) => T): (question: string) => T {
  const known = new Map<string, T>();
  return (question) => {
    if (!known.has(question)) known.set(question, work(question));
    return known.get(question)!;
  };
}
