import pc from 'picocolors';

/** Text styles; each gives the text back unchanged when colours are off. */
export interface Colours {
  readonly bold: (text: string) => string;
  readonly dim: (text: string) => string;
  readonly red: (text: string) => string;
  readonly green: (text: string) => string;
  readonly yellow: (text: string) => string;
  readonly cyan: (text: string) => string;
}

export interface ColourConditions {
  readonly isTty: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Whether to print colours: FORCE_COLOR and NO_COLOR (any value but empty) decide, else the terminal does. */
export function wantsColours({ isTty, env }: ColourConditions): boolean {
  if ((env.NO_COLOR ?? '') !== '') return false;
  const forced = env.FORCE_COLOR ?? '';
  if (forced !== '') return forced !== '0';
  return isTty && env.TERM !== 'dumb';
}

export function createColours(conditions: ColourConditions): Colours {
  const { bold, dim, red, green, yellow, cyan } = pc.createColors(wantsColours(conditions));
  return { bold, dim, red, green, yellow, cyan };
}
