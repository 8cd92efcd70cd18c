--- Looks for skills: in folders of the project, in indexes on the web, among the tools of MCP servers. A candidate is plain data: what
--- it says of itself, the hash that stands for it, and where it is fetched from. Nothing is loaded here, and nothing is believed:
--- what is fetched has to have the hash.

local files = require "weir.port.files"
local hash = require "weir.native.hash"
local json = require "weir.native.json"
local manifest_of = require "weir.skill.manifest"
local sandbox = require "weir.sandbox"
local tokens = require "weir.text.tokens"
local value_of = require "weir.value"

local M = {}

local INDEX_BYTES = 1 << 20
local ENTRIES = 1000 -- of an index
local SECONDS = 20   -- for one answer of the web
local SHARE = 0.5    -- of the words of a need that a candidate has to speak of

---@class weir.SkillNeed
---@field text string          what is needed, in words: "read CSV"
---@field name string|nil      the agent that is missing
---@field gives string[]|nil   fields that its output needs to have

---@class weir.SkillCandidate
---@field name string
---@field version string
---@field description string
---@field hash string
---@field score number         0 to 1 and more: how well it fits the need
---@field origin { kind: "folder"|"index"|"mcp", place: string, at: string }

local function with_source(manifest, source, message, code)
  if not source then return nil, message, code end
  return manifest, source
end

-- Folders ---------------------------------------------------------------------------------------------

local function read_below(root, path, most)
  local real, message, code = files.below(root, path)
  if not real then return nil, message, code end
  return files.read(real, { max_bytes = most, text = true, root = root })
end

local function of_folder(folder, found, problems)
  local list = files.list(folder, { glob = "**/skill.json", recursive = true })
  for _, path in ipairs(list or {}) do
    local text, message = read_below(folder, path, manifest_of.bytes)
    local manifest
    if text then manifest, message = manifest_of.parse(text, folder .. "/" .. path) end
    if manifest then
      found[#found + 1] = { about = manifest, hash = manifest_of.hash(manifest),
        origin = { kind = "folder", place = folder, at = path:match "^(.*)/[^/]*$" or "." } }
    else
      problems[#problems + 1] = message
    end
  end
end

local function fetch_folder(origin)
  local text, message, code = read_below(origin.place, origin.at .. "/skill.json", manifest_of.bytes)
  if not text then return nil, message, code end
  local manifest
  manifest, message, code = manifest_of.parse(text, origin.place .. "/" .. origin.at .. "/skill.json")
  if not manifest then return nil, message, code end
  return with_source(manifest, read_below(origin.place, origin.at .. "/" .. manifest.source.file, sandbox.SOURCE_BYTES))
end

-- Indexes ----------------------------------------------------------------------------------------------

local function host_of(url) return url:match "^https?://%[?([^/:%]?#]+)" end

local function get(url, most)
  local host = host_of(url)
  if not host then return nil, ("'%s' is no URL of http or https"):format(url), "invalid" end
  local answer, message, code = require("weir.port.http").fetch { url = url, timeout = SECONDS, max_bytes = most, hosts = { host } }
  if not answer then return nil, ("%s: %s"):format(url, message), code end
  if answer.status ~= 200 then return nil, ("%s answered %d"):format(url, answer.status), "unavailable" end
  return answer.body
end

-- An address in an index, which may be written from the index; nil when it leads elsewhere.
local function beside(index, at)
  local folder, host = index:gsub("[?#].*$", ""):match "^(.*/)", index:match "^(https?://[^/]*)"
  if type(at) ~= "string" or at:find "[%c%s\\]" or ("/" .. at .. "/"):find("/../", 1, true) then return nil end
  if at:find "^https?://" then return at:sub(1, #host + 1) == host .. "/" and at or nil end
  if at:find "^[%a][%w+.-]*:" or at:sub(1, 2) == "//" then return nil end
  return at:sub(1, 1) == "/" and host .. at or folder .. at
end

local function is_entry(entry)
  if type(entry) ~= "table" then return false end
  local patterns = { name = "^[a-z][a-z0-9_]*$", hash = "^%x+$", version = "^%d+%.%d+%.%d+$", description = "", manifest = "" }
  for field, pattern in pairs(patterns) do
    if type(entry[field]) ~= "string" or not entry[field]:find(pattern) then return false end
  end
  return #entry.hash == 64 and (entry.tags == nil or type(entry.tags) == "table")
end

local function texts_only(list)
  local kept = {}
  for _, text in ipairs(list or {}) do
    if type(text) == "string" then kept[#kept + 1] = text end
  end
  return kept
end

local function of_index(url, found, problems)
  local body, message = get(url, INDEX_BYTES)
  local index = body and json.decode(body)
  if type(index) ~= "table" or index.weir_skills ~= 1 or type(index.skills) ~= "table" then
    problems[#problems + 1] = message or (url .. ": is no index of skills")
    return
  end
  for number, entry in ipairs(index.skills) do
    local at = number <= ENTRIES and is_entry(entry) and beside(url, entry.manifest)
    if at then
      local shape = function(field) return type(field) == "table" and not json.is_list(field) and field or nil end
      found[#found + 1] = { hash = entry.hash, origin = { kind = "index", place = url, at = at }, about = { name = entry.name,
        version = entry.version, description = entry.description, tags = texts_only(entry.tags), needs = shape(entry.needs),
        gives = shape(entry.gives) } }
    else
      problems[#problems + 1] = ("%s: entry %d cannot be used"):format(url, number - 1)
    end
  end
end

local function fetch_index(origin)
  local text, message, code = get(origin.at, manifest_of.bytes)
  if not text then return nil, message, code end
  local manifest
  manifest, message, code = manifest_of.parse(text, origin.at)
  if not manifest then return nil, message, code end
  return with_source(manifest, get(assert(beside(origin.at, manifest.source.file)), sandbox.SOURCE_BYTES))
end

-- MCP --------------------------------------------------------------------------------------------------

local function name_of(server, tool)
  local name = (server .. "_" .. tool):lower():gsub("[^a-z0-9_]", "_"):gsub("^[^a-z]+", "")
  return name:sub(1, 64)
end

-- A tool as a skill: a line of code that calls it, and the wish to be let do so.
local function skill_of_tool(server, tool)
  local full = ("mcp/%s/%s"):format(server, tool.name)
  local source = ("return { execute = function(ctx, input) return ctx:tool { name = %q, input = input } end }\n"):format(full)
  local name = name_of(server, tool.name)
  local description = (tool.description or ""):sub(1, 1000)
  return { weir_skill = 1, name = name, version = "1.0.0", author = ("the MCP server '%s'"):format(server),
    description = #description >= 8 and description or ("The tool %s of the MCP server %s"):format(tool.name, server),
    needs = type(tool.parameters) == "table" and tool.parameters.type == "object" and tool.parameters or nil,
    grants = { tools = json.list { full } }, source = { file = name .. ".lua", sha256 = hash.sha256(source) } }, source
end

local function tools_of(place, server)
  local house = require("weir.run.tooling").house(place.engine)
  return house:tools(server)
end

local function of_mcp(place, server, found, problems)
  local tools, message = tools_of(place, server)
  if not tools then
    problems[#problems + 1] = message
    return
  end
  for _, tool in ipairs(tools) do
    local manifest, why = manifest_of.check((skill_of_tool(server, tool)), ("mcp/%s/%s"):format(server, tool.name))
    if manifest then
      found[#found + 1] = { about = manifest, hash = manifest_of.hash(manifest), origin = { kind = "mcp", place = server, at = tool.name } }
    else
      problems[#problems + 1] = why
    end
  end
end

local function fetch_mcp(origin, place)
  local tools, message, code = tools_of(place, origin.place)
  if not tools then return nil, message, code end
  for _, tool in ipairs(tools) do
    if tool.name == origin.at then return skill_of_tool(origin.place, tool) end
  end
  return nil, ("MCP server '%s' has no tool '%s' any more"):format(origin.place, origin.at), "not_found"
end

-- Ranking ----------------------------------------------------------------------------------------------

-- How much words say of a need: 1 where its words are those of the name.
local function similarity(wanted, weights)
  if #wanted == 0 then return 0, 0 end
  local sum, matched = 0, 0
  for _, word in ipairs(wanted) do
    local weight = weights[word] or 0
    for other, own in pairs(weights) do
      local shorter = math.min(#word, #other)
      if weight == 0 and shorter >= 4 and word:sub(1, shorter) == other:sub(1, shorter) then weight = 0.7 * own end
    end
    sum, matched = sum + weight / 3, matched + (weight > 0 and 1 or 0)
  end
  return sum / #wanted, matched / #wanted
end

local STOP = { a = true, an = true, the = true, to = true, of = true, ["and"] = true, ["in"] = true, from = true, into = true, it = true,
  is = true, with = true, ["for"] = true, as = true, some = true, text = true, file = true, files = true }

--- The words of a need that count.
---@param need weir.SkillNeed
---@return string[]
function M.words(need)
  local words = tokens.terms(((need.text or "") .. " " .. (need.name or "")):gsub("_", " "), STOP)
  local seen, list = {}, {}
  for _, word in ipairs(words) do
    if not seen[word] then
      seen[word] = true
      list[#list + 1] = word
    end
  end
  return list
end

--- How well something fits a need; nil when it does not.
---@param need weir.SkillNeed
---@param about table what it says of itself, as a manifest
---@return number|nil
---@return number|nil share of the words of the need that it speaks of
function M.score(need, about)
  if need.name and about.name == need.name then return 2, 1 end
  local score, share = similarity(M.words(need), manifest_of.words(about))
  if share < SHARE or score == 0 then return nil end
  for _, field in ipairs(need.gives or {}) do
    if about.gives and about.gives[field] == nil then return nil end
  end
  return score, share
end

local function folders_of(place)
  local folders, seen = {}, {}
  for _, folder in ipairs(place.settings.folders) do
    for _, root in ipairs(folder:sub(1, 1) == "/" and { "" } or place.engine.project.registry.roots) do
      local path = root == "" and folder or root .. "/" .. folder
      if not seen[path] and files.stat(path) then folders[#folders + 1] = path end
      seen[path] = true
    end
  end
  return folders
end

--- Candidates for a need, the best first. Waits for folders, the web and servers. What cannot be reached or read is a problem, not a
--- failure.
---@param place { engine: weir.Engine, settings: weir.SkillSettings }
---@param need weir.SkillNeed
---@return weir.SkillCandidate[]
---@return string[] problems
function M.candidates(place, need)
  local found, problems, list = {}, {}, {}
  for _, folder in ipairs(folders_of(place)) do of_folder(folder, found, problems) end
  for _, url in ipairs(place.settings.indexes) do of_index(url, found, problems) end
  for _, server in ipairs(place.settings.mcp) do of_mcp(place, server, found, problems) end
  local seen = {}
  for _, one in ipairs(found) do
    local score = M.score(need, one.about)
    local key = M.key(one)
    if score and not seen[key] then
      seen[key] = true
      list[#list + 1] = { name = one.about.name, version = one.about.version, description = one.about.description, hash = one.hash,
        score = score, origin = one.origin }
    end
  end
  table.sort(list, function(a, b)
    if a.score ~= b.score then return a.score > b.score end
    if a.name ~= b.name then return a.name < b.name end
    local order = manifest_of.compare(a.version, b.version)
    if order ~= 0 then return order > 0 end
    return a.hash < b.hash
  end)
  return list, problems
end

--- What a candidate is known by until it was fetched and has the hash that it claims: anybody may claim any hash.
---@param candidate weir.SkillCandidate
---@return string
function M.key(candidate)
  local origin = candidate.origin
  return hash.sha256(table.concat({ candidate.hash, origin.kind, origin.place, origin.at }, "\n"))
end

local FETCH = { folder = fetch_folder, index = fetch_index, mcp = fetch_mcp }

--- Fetches a candidate and holds it against its hash. Waits.
---@param place table as of `candidates`
---@param candidate weir.SkillCandidate
---@return { manifest: weir.SkillManifest, source: string, origin: table }?
---@return string? message
---@return string? code `corrupt` (it is not what its hash says), `limit`, `invalid`, `not_found`, `unavailable`, `denied`, `timeout`
function M.fetch(place, candidate)
  local manifest, source, code = FETCH[candidate.origin.kind](candidate.origin, place)
  if not manifest then return nil, source, code end
  if manifest_of.hash(manifest) ~= candidate.hash then
    return nil, ("skill '%s': its manifest is not the one with the hash %s"):format(candidate.name, candidate.hash:sub(1, 12)), "corrupt"
  end
  if hash.sha256(source) ~= manifest.source.sha256 then
    return nil, ("skill '%s': its source is not the one that its manifest names"):format(candidate.name), "corrupt"
  end
  return { manifest = manifest, source = source, origin = value_of.copy(candidate.origin) }
end

return M
