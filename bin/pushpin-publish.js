#!/usr/bin/env node
import "@pushpin/publish/bin/pushpin-publish.js";
