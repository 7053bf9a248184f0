import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Where the packages lie: in the repository, or beside this one where they are installed. */
const PLACES = ["../../packages/", "../../"];
/** The shipped configuration, which serves where there is no other. */
const SHIPPED = ["../../config/pushpin.conf", "../../../../config/pushpin.conf"];

/** Path of a command of another package: `scriptOf("publish", "pushpin-publish")`. */
export function scriptOf(packageName: string, command: string): string {
  return firstOf(PLACES.map((place) => `${place}${packageName}/bin/${command}.js`));
}

export function shippedConfigFile(): string {
  return firstOf(SHIPPED);
}

function firstOf(urls: readonly string[]): string {
  const paths = urls.map((one) => fileURLToPath(new URL(one, import.meta.url)));
  return paths.find((one) => existsSync(one)) ?? (paths[0] as string);
}
