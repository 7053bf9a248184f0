export { type PublishArguments, parsePublishArguments } from "./arguments.ts";
export { type Content, ContentError, type Item, makeItem, toJson, toTnet } from "./item.ts";
export { openTransport, PublishError, type Transport } from "./transport.ts";
