/** JSON that nobody has looked at yet. */

/** Of JSON.parse's own words it keeps the place alone: they quote the text, and a payload or password with it. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/** @throws JsonError */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const [place] = /at position \d+/.exec((error as Error).message) ?? [];
    throw new JsonError(place ? `no valid JSON ${place}` : 'no valid JSON');
  }
}
