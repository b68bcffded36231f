#!/usr/bin/env node
// npm links a command only to a file that exists before the build, so this launcher is not compiled.
import "../dist/cli/main.js";
