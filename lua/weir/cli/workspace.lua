--- weir workspace: the documents that runs share, as a person reads and writes them.

local client = require "weir.serve.client"
local clock = require "weir.port.clock"
local documents = require "weir.cli.documents"
local failure = require "weir.failure"
local json = require "weir.native.json"
local sayable = require "weir.view.sayable"
local session = require "weir.cli.session"
local shape = require "weir.view.shape"
local status = require "weir.cli.status"
local text = require "weir.cli.text"
local workspace = require "weir.workspace"

local M = {
  name = "workspace",
  summary = "Lists, reads, writes, searches and compares the documents that runs share.",
  examples = {
    "workspace list --scope run:last",
    "workspace get plan --scope run:last",
    "workspace post notes/river 'ebb and flow' --type note --tag tide",
    "workspace post visits 1 --merge counter",
    "workspace search 'ebb river' --limit 5 --json",
    "workspace history notes/river",
    "workspace diff 120 184",
    "workspace zoom pyramid/notes/river.md --scope pipeline:pyramid --sentence 2",
    "workspace delete notes/river --version 2",
    "workspace export --scope run:last > documents.jsonl",
    "workspace import documents.jsonl --scope pipeline:digest",
  },
  notes = "WHAT is the name of a document; for list the beginning of names, for search words, for diff an LSN, as history\n"
    .. "prints it (VALUE the second one; without it: now). zoom says where the sentences of a pyramid of summaries come from.\n"
    .. "export prints the documents whose names begin with WHAT, a line of JSON each; import posts those of the file WHAT.\n"
    .. "VALUE is JSON, text that is no JSON, @FILE or - for stdin.\n"
    .. "Exit status: 0 done, 6 no such document, 8 another version is there than --version expects, or another process has\n"
    .. "the store.",
}

local LIMIT = 100

local function whole_number(least)
  return function(value)
    local number = math.tointeger(tonumber(value))
    if number and number >= least then return number end
    return nil, ("a whole number from %d expected, got '%s'"):format(least, value)
  end
end

function M.declare(parser)
  parser:argument("action", "what to do"):choices { "list", "get", "post", "delete", "history", "search", "diff",
    "zoom", "export", "import" }
  parser:argument("what", "a document, or see below"):argname("WHAT"):args "?"
  parser:argument("value", "what to post"):argname("VALUE"):args "?"
  parser:option("--scope", "run:RUN, pipeline:NAME or project"):argname("SCOPE"):default "project"
  session.declare_store(parser)
  parser:option("--version", "get: this version; post, delete: only if this is the latest, 0 for none"):argname("N")
    :convert(whole_number(0))
  parser:option("--type", "post: its type; list: only of this type"):argname "TYPE"
  parser:option("--tag", "post: a tag, may be repeated; list: only with this tag"):argname("TAG"):count "*"
  parser:option("--author", "post: who writes; list: only by this author"):argname "NAME"
  parser:option("--ttl", "post: how long it is there, such as 7d"):argname "D"
  parser:option("--merge", "post: append, counter, set or text; into what is there"):argname("HOW")
    :choices { "append", "counter", "set", "text" }
  parser:option("--base", "post with --merge text: the version that VALUE was made from"):argname("N"):convert(whole_number(1))
  parser:flag("--text", "post: VALUE is text, whatever it looks like")
  parser:option("--sentence", "zoom: of the summary, from 1; without it: all"):argname("N"):convert(whole_number(1))
  parser:option("--after", "list: names after this one"):argname "NAME"
  parser:option("--limit", ("list, history, search: how many at most; %d"):format(LIMIT)):argname("N"):convert(whole_number(1))
end

-- What each action takes: how many arguments it needs, how many it may have, how they are called, its options.
local TAKES = {
  list = { 0, 1, "at most the beginning of names", "type tag author after limit" },
  get = { 1, 1, "one NAME", "version" },
  post = { 2, 2, "NAME and VALUE", "version type tag author ttl merge base text" },
  delete = { 1, 1, "one NAME", "version author" },
  history = { 1, 1, "one NAME", "limit" },
  search = { 1, 1, "one text, in quotes when it has several words", "limit" },
  diff = { 1, 2, "one LSN or two", "" },
  zoom = { 1, 1, "one NAME, of a pyramid", "sentence" },
  export = { 0, 1, "at most the beginning of names", "" },
  import = { 1, 1, "a FILE, or - for stdin", "author" },
}
local OPTIONS = { "version", "type", "tag", "author", "ttl", "merge", "base", "text", "after", "limit", "sentence" }

local function is_given(value)
  return value ~= nil and not (type(value) == "table" and #value == 0)
end

local function check(arguments)
  local action = arguments.action
  local takes = TAKES[action]
  local given = (arguments.what and 1 or 0) + (arguments.value and 1 or 0)
  if given < takes[1] or given > takes[2] then
    failure.raise("invalid", "workspace %s takes %s; `weir help workspace` has examples", action, takes[3])
  end
  for _, name in ipairs(OPTIONS) do
    if is_given(arguments[name]) and not (" " .. takes[4] .. " "):find(" " .. name .. " ", 1, true) then
      failure.raise("invalid", "workspace %s takes no --%s; `weir help workspace` says what does", action, name)
    end
  end
end

local function view_of(store, arguments)
  local kind, place = workspace.parse_scope(arguments.scope)
  if kind == "run" then
    local row
    place.run, row = session.find_run(store, place.run)
    place.pipeline = row.pipeline
  end
  place.scope, place.author = kind, arguments.action ~= "list" and arguments.author or nil
  return workspace.view(store, place)
end

-- Shapes ---------------------------------------------------------------------------------------------

local or_null = require("weir.value").or_null

local function meta_shape(meta)
  return { type = or_null(meta.type), tags = json.list(meta.tags or {}), author = or_null(meta.author), run = or_null(meta.run),
    step = or_null(meta.step), at = shape.time(meta.at_ms), expires_at = shape.time(meta.expires_ms) }
end

local function document_shape(document)
  local line = meta_shape(document)
  line.name, line.scope, line.version, line.value, line.score = document.name, document.scope, document.version, document.value,
    document.score
  return line
end

local function print_lines(context, list, to_shape)
  for _, entry in ipairs(list) do context.out:line(shape.line(to_shape(entry))) end
end

local function print_table(context, rows, align)
  local lines = text.columns(rows, align)
  context.out:line(context.out:paint("dim", lines[1]))
  for index = 2, #lines do context.out:line(lines[index]) end
end

local function when(ms)
  return os.date("%Y-%m-%d %H:%M:%S", ms // 1000)
end

-- Actions --------------------------------------------------------------------------------------------

local actions = {}

local function documents_table(context, list, is_ranked)
  local rows = { { "NAME", "VERSION", "TYPE", "TAGS", "AUTHOR", "WRITTEN", is_ranked and "SCORE" or nil } }
  for _, document in ipairs(list) do
    rows[#rows + 1] = { text.safe(document.name), tostring(document.version), text.safe(document.type or ""),
      text.safe(table.concat(document.tags, " ")), text.safe(document.author or ""), when(document.at_ms),
      is_ranked and ("%.2f"):format(document.score) or nil }
  end
  print_table(context, rows, { [2] = "right", [7] = "right" })
end

local function print_documents(context, list, is_ranked)
  if context.json then return print_lines(context, list, document_shape) end
  if #list == 0 then return context.err:line "no document fits" end
  documents_table(context, list, is_ranked)
end

function actions.list(view, arguments, context)
  if #arguments.tag > 1 then failure.raise("invalid", "workspace list takes one --tag") end
  local limit = math.min(arguments.limit or LIMIT, 1000)
  local list = view:list { prefix = arguments.what, type = arguments.type, tag = arguments.tag[1], author = arguments.author,
    after = arguments.after, limit = limit }
  print_documents(context, list, false)
  if #list == limit and not context.json then context.err:line(("there may be more: --after '%s'"):format(list[limit].name)) end
end

function actions.search(view, arguments, context)
  print_documents(context, view:search(arguments.what, { limit = math.min(arguments.limit or LIMIT, 1000) }), true)
end

local function refuse_missing(view, arguments)
  local found = {}
  for index, document in ipairs(view:list { limit = 1000 }) do found[index] = document.name end
  local hint = require("weir.suggest").hint(arguments.what, found)
  local which = arguments.version and ("version %d of document '%s'"):format(arguments.version, arguments.what)
    or ("document '%s'"):format(arguments.what)
  failure.raise("not_found", "there is no %s in %s%s `weir workspace list` lists them", which, arguments.scope, hint == "" and ";" or hint)
end

function actions.get(view, arguments, context)
  if arguments.version == 0 then failure.raise("invalid", "--version 0 stands for no document; versions count from 1") end
  local document = view:get(arguments.what, { version = arguments.version })
  if not document then refuse_missing(view, arguments) end
  if context.json then return context.out:line(shape.line(document_shape(document))) end
  local value = document.value
  if type(value) ~= "string" then value = sayable.encode(value, { indent = 2 }) or tostring(value) end
  context.out:line(context.out.is_terminal and text.safe(value) or value)
end

local function read_file(path)
  local handle, message = io.open(client.path(path), "rb")
  if not handle then failure.raise("invalid", "%s", message) end
  local bytes = handle:read "a"
  handle:close()
  if not bytes then failure.raise("invalid", "%s cannot be read", path) end
  return bytes
end

-- The value that was meant.
local function value_of(arguments)
  local given = arguments.value
  if arguments.text then return given end
  local path = given:match "^@(.+)$"
  if path then given = read_file(path) elseif given == "-" then given = client.stdin():read "a" end
  local value = json.decode(given)
  if value == nil then return given end
  return value
end

local function say_written(view, arguments, context, document)
  local version = view:history(arguments.what, { limit = 1 })[1].version
  if context.json then
    local line = document and document_shape(document) or { name = arguments.what, scope = arguments.scope, version = version }
    line.lsn, line.value, line.deleted = workspace.snapshot(view.store), nil, document == nil
    return context.out:line(shape.line(line))
  end
  context.out:line(("%s  version %d%s"):format(arguments.what, version, document and "" or ", deleted"))
end

function actions.post(view, arguments, context)
  view:post(arguments.what, value_of(arguments), { version = arguments.version, type = arguments.type,
    tags = #arguments.tag > 0 and arguments.tag or nil, ttl = arguments.ttl, merge = arguments.merge, base = arguments.base })
  workspace.commit(view)
  say_written(view, arguments, context, view:get(arguments.what))
end

function actions.delete(view, arguments, context)
  if not view:delete(arguments.what, { version = arguments.version }) then
    refuse_missing(view, { what = arguments.what, scope = arguments.scope })
  end
  workspace.commit(view)
  say_written(view, arguments, context, nil)
end

local function history_shape(entry)
  local line = meta_shape(entry.meta)
  line.version, line.lsn, line.kind = entry.version, entry.lsn, entry.kind
  return line
end

function actions.history(view, arguments, context)
  local list = view:history(arguments.what, { limit = math.min(arguments.limit or LIMIT, 1000) })
  if #list == 0 then refuse_missing(view, arguments) end
  if context.json then return print_lines(context, list, history_shape) end
  local rows = { { "VERSION", "LSN", "KIND", "WRITTEN", "AUTHOR", "RUN", "STEP" } }
  for _, entry in ipairs(list) do
    local meta = entry.meta
    rows[#rows + 1] = { tostring(entry.version), tostring(entry.lsn), entry.kind, when(meta.at_ms), text.safe(meta.author or ""),
      meta.run or "", text.safe(meta.step or "") }
  end
  print_table(context, rows, { "right", "right" })
end

local function lsn_of(given)
  local lsn = math.tointeger(tonumber(given))
  if lsn and lsn >= 0 then return lsn end
  failure.raise("invalid", "workspace diff: '%s' is no LSN; `weir workspace history` prints them", given)
end

local function difference(entry)
  local name = text.safe(entry.name)
  if not entry.before then return ("+ %s  version %d"):format(name, entry.after) end
  if not entry.after then return ("- %s  version %d"):format(name, entry.before) end
  return ("~ %s  version %d to %d"):format(name, entry.before, entry.after)
end

function actions.diff(view, arguments, context)
  local first = lsn_of(arguments.what)
  local second = arguments.value and lsn_of(arguments.value) or workspace.snapshot(view.store)
  local scope, list = view:full_scope(), {}
  for _, entry in ipairs(view:diff(first, second)) do
    if entry.scope == scope then list[#list + 1] = entry end
  end
  if context.json then
    return print_lines(context, list, function(entry)
      return { name = entry.name, scope = entry.scope, before = or_null(entry.before), after = or_null(entry.after) }
    end)
  end
  if #list == 0 then return context.err:line "nothing differs" end
  for _, entry in ipairs(list) do context.out:line(difference(entry)) end
end

local function pyramid_of(view, arguments)
  local document = view:get(arguments.what)
  if not document then refuse_missing(view, arguments) end
  if document.type ~= "pyramid" then
    failure.raise("invalid", "document '%s' is no pyramid of summaries; `weir workspace list --type pyramid` lists those that are",
      arguments.what)
  end
  return document.value
end

local function print_origin(context, source, origin, depth)
  local text_line = text.safe(origin.text:gsub("%s+", " "))
  context.out:line(("%s%d.%d  %s"):format(("  "):rep(depth), origin.level, origin.sentence, text_line))
  for _, place in ipairs(origin.places or {}) do
    context.out:line(context.out:paint("dim", ("%s%s:%d, bytes %d to %d"):format(("  "):rep(depth + 1), text.safe(source), place.line,
      place.from, place.to)))
  end
  for _, below in ipairs(origin.of or {}) do print_origin(context, source, below, depth + 1) end
  if #(origin.places or origin.of) == 0 then context.out:line(("%sno sentence below says this"):format(("  "):rep(depth + 1))) end
end

function actions.zoom(view, arguments, context)
  local pyramid = require "weir.text.pyramid"
  local top = pyramid_of(view, arguments)
  local function get(id)
    local document = view:get(("%s/%s"):format(arguments.what, id))
    return document and document.value
  end
  local node = get(top.top)
  local last = node and #node.sentences or 1
  local source = type(top.source) == "string" and top.source or arguments.what
  for number = arguments.sentence or 1, arguments.sentence or last do
    local origin, message, code = pyramid.origin(get, top.top, number)
    if not origin then failure.raise(code, "document '%s': %s", arguments.what, message) end
    if context.json then
      origin.source = source
      context.out:line(shape.line(origin))
    else
      print_origin(context, source, origin, 0)
    end
  end
end

function actions.export(view, arguments, context)
  documents.export(view, arguments.what, function(line) context.out:line(line) end)
end

function actions.import(view, arguments, context)
  local lines = arguments.what == "-" and client.stdin():read "a" or read_file(arguments.what)
  local count = documents.import(view, lines)
  if context.json then return context.out:line(shape.line { documents = count, scope = arguments.scope }) end
  context.out:line(("%s in %s"):format(text.count(count, "document", "documents"), arguments.scope))
end

function M.run(arguments, context)
  check(arguments)
  local here = session.project()
  local is_writer = arguments.action == "post" or arguments.action == "delete" or arguments.action == "import"
  local open = is_writer and session.open_store or session.open_present_store
  return session.with_store(open(here, arguments.store), function(store)
    if is_writer then workspace.expire(store, clock.wall_ms()) end
    actions[arguments.action](view_of(store, arguments), arguments, context)
    return status.finished
  end)
end

return M
