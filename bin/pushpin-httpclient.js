#!/usr/bin/env node
import "@pushpin/httpclient/bin/pushpin-httpclient.js";
