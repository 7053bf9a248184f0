export type {
  Action,
  HttpResponseFormat,
  HttpStreamFormat,
  PublishItem,
  WsMessageFormat,
} from "@pushpin/grip";
