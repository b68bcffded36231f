#!/usr/bin/env node
/** Entry point of the `quipu` command. */
console.log("quipu");
