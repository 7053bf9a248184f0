// Put before a process with `--import`: writes the name of every package from the registry that it loads,
// one a line, to LOADED_MODULES/<program>.
import { appendFileSync } from "node:fs";
import Module, { register } from "node:module";
import { basename, join } from "node:path";

const file = join(process.env.LOADED_MODULES, basename(process.argv[1] ?? "none"));
const note = (path) => {
  const name = /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
  if (name !== undefined && !name.startsWith("@pushpin/")) appendFileSync(file, `${name}\n`);
};

// What is required, in this thread; what is imported, in the thread of the loader.
const resolveFilename = Module._resolveFilename;
Module._resolveFilename = function (...args) {
  const path = resolveFilename.apply(this, args);
  note(path);
  return path;
};
const hooks = `
import { appendFileSync } from "node:fs";
const note = ${note.toString().replace("file,", "process.env.LOADED_BY_IMPORT,")};
export async function load(url, context, next) {
  note(url);
  return next(url, context);
}`;
process.env.LOADED_BY_IMPORT = file;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
