#!/usr/bin/env node
import "@pushpin/handler/bin/pushpin-handler.js";
