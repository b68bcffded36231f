/** Branded quantities: a number that carries what it counts, so that one cannot be passed for another. */
declare const brand: unique symbol;

/** `Base` tagged with `Name`; made only by that brand's one checking constructor. */
export type Brand<Base, Name extends string> = Base & { readonly [brand]: Name };
