export { type PublishArguments, parsePublishArguments } from "./arguments.ts";
export { type Content, ContentError, type Item, makeItem, toJson, toTnet } from "./item.ts";
export { openTransport } from "./open-transport.ts";
export { PublishError, type Transport } from "./transport.ts";
