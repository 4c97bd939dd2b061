// What came of a command that asks once and tells: for programs, and for people.

/** The same twice. */
export interface Outcome {
  readonly json: object
  readonly text: string
}

/** Prints it for whoever the arguments say. */
export function printOutcome({ json, text }: Outcome, isJSON: boolean): void {
  console.log(isJSON ? JSON.stringify(json, undefined, 2) : text)
}
