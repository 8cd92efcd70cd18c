--- /decide/LINK: a page for one person who was sent a link. Looking decides nothing: programs that scan mail, and browsers
--- that look ahead, do that. What the page sends decides, once.

local approval = require "weir.approval"
local door = require "weir.http.door"
local json = require "weir.native.json"
local link_of = require "weir.approval.link"
local waking = require "weir.run.waking"

local FORM = "application/x-www-form-urlencoded"
local BODY_MAX = 1 << 20

-- Nothing is fetched, run or framed, and no other site is told the address.
local HEADERS = { ["Content-Type"] = "text/html; charset=utf-8", ["Cache-Control"] = "no-store", ["Referrer-Policy"] = "same-origin",
  ["Content-Security-Policy"] = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; "
    .. "base-uri 'none'",
  ["X-Robots-Tag"] = "noindex, nofollow" }

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function escape(text) return (text:gsub("[&<>\"']", ESCAPES)) end

local STYLE = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
  .. "pre{overflow:auto;white-space:pre-wrap;border:1px solid #8888;border-radius:6px;padding:1rem}"
  .. "textarea{width:100%;box-sizing:border-box}button{font:inherit;padding:.5rem 1.2rem;margin:1rem .5rem 0 0}"

local function page(status, title, body)
  return status, ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    .. "<title>%s</title><style>%s</style><h1>%s</h1>%s</html>\n"):format(escape(title), STYLE, escape(title), body), HEADERS
end

-- The same for a link that never was, one that was used, and one that has expired; only who had a right one sees another status.
local function shut(code)
  return page(code == "closed" and 410 or 404, "This link opens nothing",
    "<p>It was used, it has expired, what it asks has been decided, or it never was one. Whoever sent it can send another.</p>")
end

local function opened(call)
  local link, code = link_of.open(call.host.store, call.params.link)
  if not link then return nil, code end
  local record, state = approval.get(call.host.store, link.approval)
  if not record or state ~= "pending" or record.hash ~= link.hash then return nil, "closed" end
  return link, record
end

local function show(call)
  local link, record = opened(call)
  if not link then return shut(record) end
  local answer = record.form ~= nil and '<p><label>Answer, as JSON<br><textarea name="answer" rows="4"></textarea></label></p>' or ""
  return page(200, record.title or "A question for " .. link.by, ("<p>For <b>%s</b>.</p><pre>%s</pre>"):format(escape(link.by),
    escape(table.concat(approval.lines(record), "\n")))
    .. '<form method="post"><p><label>Comment<br><textarea name="comment" rows="2" maxlength="10000"></textarea></label></p>' .. answer
    .. '<button name="decision" value="approve">Approve</button><button name="decision" value="reject">Reject</button></form>')
end

-- A form's fields, each at most once.
local function fields_of(text)
  local fields = {}
  for pair in text:gmatch "[^&]+" do
    local name, value = pair:match "^([^=]*)=(.*)$"
    local function plain(part)
      return (part:gsub("%+", " "):gsub("%%(%x%x)", function(digits) return string.char(tonumber(digits, 16)) end))
    end
    if not name or fields[plain(name)] then return nil end
    fields[plain(name)] = plain(value)
  end
  return fields
end

local function read(call)
  local text = door.raw(call.request)
  local fields = #text <= BODY_MAX and fields_of(text)
  if not fields or not utf8.len(fields.comment or "") or not utf8.len(fields.answer or "") then return nil, "the form cannot be read" end
  if fields.decision ~= "approve" and fields.decision ~= "reject" then return nil, "decision: approve or reject expected" end
  local answer, message
  if fields.answer and fields.answer:find "%S" then
    answer, message = json.decode(fields.answer)
    if answer == nil then return nil, "the answer is not JSON: " .. message end
  end
  return { decision = fields.decision, answer = answer, comment = fields.comment ~= "" and fields.comment or nil }
end

local function refused(message)
  return page(422, "Not decided yet", ("<p>%s</p><p>Go back and try again; the link is as it was.</p>"):format(escape(message)))
end

local SAID = { approve = "Approved", reject = "Rejected" }

local function decide(call)
  local link, record = opened(call)
  if not link then return shut(record) end
  local given, message = read(call)
  if not given then return refused(message) end
  given.by, given.hash, given.via = link.by, link.hash, "link"
  local done, state, more = door.detached(function()
    return waking.decide(call.host.engine, link.approval, given, function() return link_of.spend(call.host.store, link, given.decision) end)
  end)
  if done then
    local rest = state == "open" and ("<p>%d more %s to approve.</p>"):format(more, more == 1 and "has" or "have") or ""
    return page(200, SAID[given.decision], "<p>It is kept. You may close this page.</p>" .. rest)
  end
  if more == "invalid" then return refused(state) end
  return shut "closed"
end

local PAGE = { doc = "A page.", type = "text/html" }
local SHUT = { [404] = { doc = "There is no such link.", type = "text/html" },
  [410] = { doc = "It was used, has expired, or what it asks is decided.", type = "text/html" } }

return {
  { method = "GET", path = "/decide/{link}", role = "public", handler = show,
    doc = "What the one-time link of `weir approvals link` asks. Looking decides nothing.",
    answers = { [200] = PAGE, [404] = SHUT[404], [410] = SHUT[410] } },
  { method = "POST", path = "/decide/{link}", role = "public", accepts = FORM, is_raw = true, handler = decide,
    doc = "Decides what such a link asks, once, under the name that it was made for.",
    body = { type = "object", required = { "decision" }, properties = { decision = { type = "string", enum = { "approve", "reject" } },
      comment = { type = "string", maxLength = 10000 }, answer = { type = "string", description = "JSON, where a form asks for it" } } },
    answers = { [200] = PAGE, [404] = SHUT[404], [410] = SHUT[410],
      [422] = { doc = "The form does not fit; the link is as it was.", type = "text/html" } } },
}
