// What the man pages say beyond the options, which come from the programs themselves.
const CONFIG_FILE = ["/etc/pushpin/pushpin.conf", "configuration; see pushpin.conf(5)"];
const SETTINGS_VARIABLE = [
  "PUSHPIN_<SECTION>_<KEY>",
  "any key of the configuration, such as PUSHPIN_HANDLER_MESSAGE_RATE",
];
const daemon = (what, description) => ({
  what,
  description: [
    description,
    "It is normally started by pushpin(1), and may be started alone with the same configuration " +
      "file; the order of starting does not matter. SIGTERM ends it in order, SIGHUP opens its " +
      "log file again.",
  ],
  exit: [
    ["0", "ended by a signal"],
    ["1", "bad command line or configuration, or nothing to work with"],
  ],
  files: [CONFIG_FILE],
  environment: [SETTINGS_VARIABLE],
  see: ["pushpin(1)", "pushpin.conf(5)"],
});

const TOOL_EXIT = [
  ["0", "ended by a signal, or after as many packets as were asked for"],
  ["1", "bad command line or configuration"],
];

/** By program or subcommand. `options` says how it is asked for its help. */
export const MAN_TEXTS = {
  pushpin: {
    what: "reverse proxy for realtime web services",
    description: [
      "Starts the connection manager, the HTTP client, the proxy and the handler, waits until each " +
        "is ready, starts again what ends by itself, and ends all of them with itself.",
      "Without --config the first of config/pushpin.conf, pushpin.conf, " +
        "examples/config/pushpin.conf and /etc/pushpin/pushpin.conf is read. Words such as check " +
        "or stats in the place of options are commands with pages of their own.",
    ],
    exit: [
      ["0", "ended by SIGTERM or SIGINT"],
      ["1", "bad command line or configuration, or a process could not be kept running"],
    ],
    signals: [
      ["SIGTERM, SIGINT", "end everything; a second one ends it at once"],
      ["SIGHUP", "reload routes, keys, certificates and live settings, open the log files again"],
    ],
    files: [CONFIG_FILE, ["/etc/pushpin/routes", "routes, where the configuration says so"]],
    environment: [
      SETTINGS_VARIABLE,
      ["NOTIFY_SOCKET, LISTEN_FDS, WATCHDOG_USEC", "as systemd sets them"],
    ],
    examples: [
      ["pushpin --merge-output --port=8080 --route='* localhost:8000'", "one backend, no file of routes"],
      ["pushpin --id=1 --port=8081", "a second instance beside the first"],
    ],
  },
  "pushpin-connmgr": daemon(
    "connection manager of Pushpin",
    "Owns the connections of clients: HTTP/1.1, WebSockets and TLS on one side, ZHTTP packets over " +
      "ZeroMQ on the other.",
  ),
  "pushpin-httpclient": daemon(
    "HTTP client of Pushpin",
    "Owns the connections to backends: it makes the HTTP requests and WebSocket handshakes that the " +
      "proxy and the handler ask for.",
  ),
  "pushpin-proxy": daemon(
    "proxy of Pushpin",
    "Routes requests to backends, and gives responses with GRIP instructions to the handler.",
  ),
  "pushpin-handler": daemon(
    "handler of Pushpin",
    "Holds responses and WebSockets, takes what is published, and delivers it.",
  ),
  "pushpin-publish": {
    what: "publish a message through Pushpin",
    description: [
      "Publishes a message to a channel: over HTTP to the control port, or over ZeroMQ to the PULL " +
        "or SUB sockets of a handler. The content is text, @FILE for the bytes of a file, or @- for " +
        "standard input. A line break is added to text for HTTP clients, and never to WebSocket " +
        "messages or the bytes of a file.",
      "A GRIP URL with iss and key (and verify-iss) in its query is sent a signed token; the query does " +
        "not go along. Passwords and tokens that are given in options need https.",
    ],
    exit: [
      ["0", "everything was taken"],
      ["1", "something was not; the reason is on standard error"],
      ["2", "the command line makes no sense"],
    ],
    environment: [["GRIP_URL", "where to publish, unless --spec says so"]],
    examples: [
      ["pushpin-publish news 'something happened'", "to http://localhost:5561"],
      ["pushpin-publish --spec tcp://localhost:5560 news @message.txt", "to the PULL socket"],
      ["tail -f events | pushpin-publish --lines news", "one message for each line"],
      ["pushpin-publish --close news", "the connections of a channel end"],
    ],
    see: ["pushpin(1)"],
  },
  "pushpin-check": {
    what: "look for problems in configuration and routes",
    description: ["Reads configuration and routes as a start would, and prints every problem found. Nothing is started."],
    exit: [
      ["0", "no problem"],
      ["1", "problems, or a file that cannot be read"],
    ],
    files: [CONFIG_FILE],
    environment: [SETTINGS_VARIABLE],
    examples: [["pushpin check --against /etc/pushpin/routes --routes routes.new", "what a new file of routes would change"]],
    see: ["pushpin-explain(1)", "pushpin-config(1)"],
  },
  "pushpin-explain": {
    what: "say what the proxy would do with a request",
    description: ["Says which route a request takes, to which targets it would go and with which headers, and why. Nobody is asked."],
    exit: [
      ["0", "a route was found"],
      ["1", "none was, or a file cannot be read"],
    ],
    files: [CONFIG_FILE],
    environment: [SETTINGS_VARIABLE],
    examples: [["pushpin explain GET http://example.com/news -H 'Accept: text/event-stream'", "where a request with this header would go"]],
    see: ["pushpin-check(1)"],
  },
  "pushpin-restart": {
    what: "put new processes in the place of the running ones",
    description: [
      "Asks a running instance for new processes in the place of HTTP client, proxy and handler, one after " +
        "the other, and waits until each is ready. What is under way is finished first; clients stay connected, " +
        "because connection managers are not replaced. WebSockets with a connection of their own to the backend " +
        "are closed with 1012, if their route does not say reconnect.",
    ],
    exit: [
      ["0", "all have been replaced"],
      ["1", "no instance is running, or a process was not replaced in two minutes"],
    ],
    files: [CONFIG_FILE, ["<rundir>/runner.pid", "says which process is asked"]],
    environment: [SETTINGS_VARIABLE],
    examples: [["pushpin restart --config /etc/pushpin/pushpin.conf", "after an upgrade"]],
    see: ["pushpin(1)"],
  },
  "pushpin-config": {
    what: "show the settings of Pushpin in force",
    description: [
      "Prints the values of configuration keys and where each comes from: a file and line, an " +
        "environment variable, or the default. Without words, all keys that are set are shown; words are names of " +
        "keys or of sections. The output can be read as a configuration file.",
    ],
    exit: [
      ["0", "all values can be used"],
      ["1", "some cannot; they are named on standard error"],
    ],
    files: [CONFIG_FILE],
    environment: [SETTINGS_VARIABLE],
    examples: [["pushpin config message_rate proxy", "one key, and all of a section"]],
    see: ["pushpin-check(1)", "pushpin.conf(5)"],
  },
  "pushpin-stats": {
    what: "watch the statistics of a running Pushpin",
    description: [
      "Reads the statistics socket of a running handler. On a terminal it shows rates, connections, " +
        "routes and the busiest channels, anew every second; else it prints a line for each packet: its " +
        "type and its members as JSON. Words are the types wanted.",
    ],
    exit: TOOL_EXIT,
    files: [CONFIG_FILE],
    environment: [SETTINGS_VARIABLE],
    examples: [["pushpin stats --lines --count=10 message sub", "ten packets of two types"]],
    see: ["pushpin-subs(1)", "pushpin-command(1)"],
  },
  "pushpin-subs": {
    what: "follow the subscriptions of a running Pushpin",
    description: [
      "Prints SUB with mode, channel and number of subscribers when a channel gets its first subscriber or " +
        "another number of them, and UNSUB when the last one is gone. Subscriptions that were there before are " +
        "heard of at their next refresh, within a minute.",
    ],
    exit: TOOL_EXIT,
    files: [CONFIG_FILE],
    environment: [SETTINGS_VARIABLE],
    see: ["pushpin-stats(1)", "pushpin-command(1)"],
  },
  "pushpin-command": {
    what: "send a command to a running Pushpin",
    description: [
      "Sends one command to the command socket of a running handler, and prints the answer as JSON. Arguments " +
        "are a JSON object. The address of the socket may stand before the method.",
    ],
    exit: [
      ["0", "done"],
      ["1", "bad command line, no answer in time, or the condition the handler named"],
    ],
    files: [CONFIG_FILE],
    environment: [SETTINGS_VARIABLE],
    examples: [
      ["pushpin command get-zmq-uris", "where publishers connect"],
      ["pushpin command refresh '{\"channel\":\"news\"}'", "backends of WebSockets on a channel are asked again"],
    ],
    see: ["pushpin-stats(1)", "pushpin-subs(1)"],
  },
};
