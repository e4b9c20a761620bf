-- Dissector of the sprat protocol, version 1, for Wireshark and tshark (4.0 or newer, or any with Lua).
--
--     wireshark -X lua_script:scripts/sprat.lua FILE
--     tshark -X lua_script:scripts/sprat.lua -r FILE -Y 'sprat.type == 5'
--
-- or put it into the folder that Help > About > Folders calls "Personal Lua Plugins". It names every field
-- that docs/protocol.md has, says what breaks a layout or a limit (filter: sprat.malformed), and ties
-- every answer to its question: sprat.request_in is the frame of the ASK or GRANT whose nonce it has.

local sprat = Proto("sprat", "Sprat file sharing")

local PORT = 27183
local TYPES = {
    [1] = "ANNOUNCE", [2] = "FAREWELL", [3] = "ASK", [4] = "TELL",
    [5] = "GRANT", [6] = "DATA", [7] = "META", [8] = "REFUSE",
    [9] = "NEWS", [10] = "HOSTS", [11] = "HOLD",
}
local SUBJECTS = { [0] = "listing", [1] = "content" }
local KINDS = { [0] = "file", [1] = "chain", [2] = "have", [3] = "listing", [4] = "changes" }
local REASONS = {
    [1] = "the cookie is stale or another's", [2] = "no such object", [3] = "the range is not there",
    [4] = "the file is being changed", [5] = "busy", [6] = "datagrams of this length do not leave the host",
}
-- The shortest of each type in bytes, and whether more may follow that has to be ignored.
local LENGTHS = { 80, 20, 80, 80, 64, 21, 21, 16, 24, 42, 60 }
local LONGEST_CONTROL, LONGEST_DATA = 1500, 65428
local SIZE_MAX = UInt64.new(0xffffffff, 0x001fffff) -- 2^53 - 1
local END_MAX = UInt64.new(0, 0x00200000)           -- 2^53
local LISTING_LENGTH_MAX, LISTING_FILES_MAX = 16777216, 131072
local NEWS_RANGES_MAX, HOSTS_MAX = 64, 44
local RANGES_MAX, GRANT_BYTES_MAX, GRANT_PACKETS_MAX = 16, 65536, 64
local PAYLOAD_MIN, PAYLOAD_MAX, PAYLOAD_STEP = 512, 65408, 64

local f = {
    magic = ProtoField.string("sprat.magic", "Magic"),
    version = ProtoField.uint8("sprat.version", "Version"),
    type = ProtoField.uint8("sprat.type", "Type", base.DEC, TYPES),
    flags = ProtoField.uint8("sprat.flags", "Flags", base.HEX),
    to_many = ProtoField.bool("sprat.flags.to_many", "To many", 8, nil, 0x01),
    tell_hosts = ProtoField.bool("sprat.flags.tell_hosts", "Wants to be told of others", 8, nil, 0x02),
    tell_age = ProtoField.bool("sprat.flags.tell_age", "Wants to know for how long the host has been there", 8, nil, 0x04),
    hosts_from = ProtoField.uint16("sprat.hosts.from", "Others from this place on"),
    hosts_next = ProtoField.uint16("sprat.hosts.next", "More of them from this place on"),
    has_age = ProtoField.bool("sprat.flags.age", "Tells for how long it has been there", 8, nil, 0x04),
    age = ProtoField.uint32("sprat.age", "For how many seconds it has been there"),
    whole = ProtoField.bool("sprat.flags.whole", "Has it whole", 8, nil, 0x01),
    part = ProtoField.bool("sprat.flags.part", "Has part of it", 8, nil, 0x02),
    in_step = ProtoField.bool("sprat.flags.in_step", "Fetches by itself what others offer", 8, nil, 0x08),
    reserved = ProtoField.bytes("sprat.reserved", "Reserved"),
    again_within = ProtoField.uint8("sprat.again_within", "The next one within (tenths of a second)"),
    instance = ProtoField.bytes("sprat.instance", "Instance"),
    secret = ProtoField.bytes("sprat.secret", "Secret (the instance is the first 16 bytes of its SHA-1)"),
    subject = ProtoField.uint8("sprat.subject", "Subject", base.DEC, SUBJECTS),
    nonce = ProtoField.uint64("sprat.nonce", "Nonce", base.HEX),
    cookie = ProtoField.bytes("sprat.cookie", "Cookie"),
    content = ProtoField.bytes("sprat.content", "Content (SHA-1)"),
    size = ProtoField.uint64("sprat.size", "Size of the content"),
    digest = ProtoField.bytes("sprat.listing.digest", "SHA-1 of the listing"),
    has = ProtoField.bytes("sprat.listing.has", "SHA-1 of the listing that the asker has"),
    changes = ProtoField.uint16("sprat.listing.changes", "Changes from there, times 64 bytes"),
    changes_id = ProtoField.bytes("sprat.changes", "Changes (SHA-1 of two listings' SHA-1s)"),
    length = ProtoField.uint64("sprat.listing.length", "Length of the listing"),
    files = ProtoField.uint32("sprat.listing.files", "Files in the listing"),
    chain = ProtoField.bytes("sprat.chain", "Chain's id"),
    blocks = ProtoField.uint32("sprat.blocks", "Blocks that the host has"),
    kind = ProtoField.uint8("sprat.kind", "Kind of object", base.DEC, KINDS),
    ranges = ProtoField.uint8("sprat.ranges", "Number of ranges"),
    payload_length = ProtoField.uint16("sprat.payload_length", "Payload length"),
    range = ProtoField.none("sprat.range", "Range"),
    range_offset = ProtoField.uint64("sprat.range.offset", "Offset"),
    range_length = ProtoField.uint32("sprat.range.length", "Length"),
    granted = ProtoField.uint32("sprat.granted", "Bytes granted, all ranges together"),
    packets = ProtoField.uint32("sprat.packets", "Packets that it causes"),
    news_first = ProtoField.uint32("sprat.news.first", "First block"),
    news_blocks = ProtoField.uint32("sprat.news.blocks", "Blocks"),
    hosts = ProtoField.uint8("sprat.hosts", "Number of hosts"),
    host = ProtoField.none("sprat.host", "Host"),
    host_v4 = ProtoField.ipv4("sprat.host.v4", "Address"),
    host_v6 = ProtoField.ipv6("sprat.host.v6", "Address"),
    host_port = ProtoField.uint16("sprat.host.port", "Port"),
    portions = ProtoField.uint64("sprat.portions", "Which 64ths are there", base.HEX),
    offset = ProtoField.uint64("sprat.offset", "Offset in the object"),
    payload = ProtoField.bytes("sprat.payload", "Payload"),
    payload_bytes = ProtoField.uint32("sprat.payload.length", "Bytes of payload"),
    reason = ProtoField.uint8("sprat.reason", "Reason", base.DEC, REASONS),
    zero = ProtoField.bytes("sprat.zero", "Zero"),
    trailing = ProtoField.bytes("sprat.trailing", "Bytes after the layout, to be ignored"),
    request_in = ProtoField.framenum("sprat.request_in", "Question or grant in frame", base.NONE, frametype.REQUEST),
    response_in = ProtoField.framenum("sprat.response_in", "First answer in frame", base.NONE, frametype.RESPONSE),
    time = ProtoField.relative_time("sprat.time", "Time since it was asked"),
}
sprat.fields = f

local e = {
    malformed = ProtoExpert.new("sprat.malformed", "Breaks a layout or a limit; receivers drop it", expert.group.MALFORMED, expert.severity.ERROR),
    unknown = ProtoExpert.new("sprat.unknown", "Not of version 1; receivers drop it", expert.group.UNDECODED, expert.severity.WARN),
    reserved = ProtoExpert.new("sprat.not_zero", "Reserved, and not zero; receivers ignore it", expert.group.PROTOCOL, expert.severity.NOTE),
    refused = ProtoExpert.new("sprat.refused", "A grant is refused", expert.group.RESPONSE_CODE, expert.severity.NOTE),
    stray = ProtoExpert.new("sprat.unasked", "Nothing in this capture asked for it", expert.group.SEQUENCE, expert.severity.CHAT),
}
sprat.experts = e

-- What was asked under which nonce, and which answer belongs to what; filled at the first pass.
local requests, answers = {}, {}

function sprat.init()
    requests, answers = {}, {}
end

local function short(range)
    return tostring(range:bytes()):lower():sub(1, 8)
end

-- Bytes that should be zero, and are ignored.
local function reserved(tree, range, field)
    local item = tree:add(field or f.reserved, range)
    if tostring(range:bytes()):find("[^0]") then
        item:add_proto_expert_info(e.reserved)
    end
end

local function flags(tree, range, known, fields)
    local branch = tree:add(f.flags, range)
    for _, field in ipairs(fields) do branch:add(field, range) end
    if bit.band(range:uint(), bit.bnot(known)) ~= 0 then
        branch:add_proto_expert_info(e.reserved)
    end
end

local function too_much(item, words)
    item:add_proto_expert_info(e.malformed, words)
end

-- Remembers who asked.
local function asks(tree, pinfo, nonce)
    local key = tostring(nonce)
    if not pinfo.visited then
        local before = requests[key]
        requests[key] = { number = pinfo.number, at = pinfo.abs_ts, response = before and before.response }
    end
    local request = requests[key]
    if request and request.response then
        tree:add(f.response_in, request.response):set_generated()
    end
end

-- Ties an answer to what it answers; returns that.
local function belongs(tree, pinfo, nonce)
    if not pinfo.visited then
        local request = requests[tostring(nonce)]
        answers[pinfo.number] = request
        if request and not request.response then request.response = pinfo.number end
    end
    local request = answers[pinfo.number]
    if not request then
        tree:add_proto_expert_info(e.stray)
        return nil
    end
    tree:add(f.request_in, request.number):set_generated()
    local seconds = pinfo.abs_ts - request.at
    local whole = math.floor(seconds)
    -- Times are floating-point numbers here, good to a microsecond.
    local micros = math.floor((seconds - whole) * 1e6 + 0.5)
    tree:add(f.time, NSTime.new(whole, micros * 1000)):set_generated()
    return request
end

local function listing(tree, tvb, at)
    tree:add(f.digest, tvb(at, 20))
    local length = tree:add(f.length, tvb(at + 20, 8))
    if tvb(at + 20, 8):uint64() > UInt64.new(LISTING_LENGTH_MAX, 0) then
        too_much(length, "a listing has at most 16,777,216 bytes")
    end
    local files = tree:add(f.files, tvb(at + 28, 4))
    if tvb(at + 28, 4):uint() > LISTING_FILES_MAX then
        too_much(files, "a listing has at most 131,072 files")
    end
    return string.format("listing %s… of %d files, %s bytes", short(tvb(at, 20)), tvb(at + 28, 4):uint(),
        tostring(tvb(at + 20, 8):uint64()))
end

local function content_size(tree, range)
    local item = tree:add(f.size, range)
    if range:uint64() > SIZE_MAX then too_much(item, "a content has at most 2^53 - 1 bytes") end
end

local function announce(tvb, _, tree)
    flags(tree, tvb(4, 1), 0, {})
    tree:add(f.again_within, tvb(5, 1))
    reserved(tree, tvb(6, 2))
    tree:add(f.instance, tvb(8, 16))
    local words = listing(tree, tvb, 24)
    reserved(tree, tvb(56, 24), f.zero)
    return string.format("host %s…, %s", short(tvb(8, 16)), words), 80
end

local function farewell(tvb, _, tree)
    tree:add(f.secret, tvb(4, 16))
    return "", 20
end

local function subject(tree, tvb)
    local item = tree:add(f.subject, tvb(4, 1))
    if not SUBJECTS[tvb(4, 1):uint()] then item:add_proto_expert_info(e.unknown) end
    return tvb(4, 1):uint()
end

local function ask(tvb, pinfo, tree)
    local about = subject(tree, tvb)
    local bits = tvb(5, 1):uint()
    flags(tree, tvb(5, 1), 0x07, { f.to_many, f.tell_hosts, f.tell_age })
    if bit.band(bits, 2) == 2 and about == 0 then tree:add(f.hosts_from, tvb(6, 2)) else reserved(tree, tvb(6, 2)) end
    tree:add(f.nonce, tvb(8, 8))
    asks(tree, pinfo, tvb(8, 8):uint64())
    local words = "what do you offer?"
    if about == 1 then
        tree:add(f.content, tvb(16, 20))
        content_size(tree, tvb(36, 8))
        words = string.format("have you %s… of %s bytes?", short(tvb(16, 20)), tostring(tvb(36, 8):uint64()))
    else
        tree:add(f.has, tvb(16, 20))
        reserved(tree, tvb(36, 8), f.zero)
        if tostring(tvb(16, 20):bytes()):find("[^0]") then
            words = string.format("what do you offer, and since %s…?", short(tvb(16, 20)))
        end
    end
    tree:add(f.instance, tvb(44, 16))
    tree:add(f.cookie, tvb(60, 16))
    reserved(tree, tvb(76, 4), f.zero)
    local length = 80
    if bit.band(bits, 4) == 4 and tvb:len() >= 84 then
        reserved(tree, tvb(80, 4), f.zero)
        length = 84
    end
    if bit.band(bits, 2) == 2 then
        local from = about == 0 and tvb(6, 2):uint() or 0
        words = words .. " who else is there" .. (from > 0 and string.format(", from place %d on?", from) or "?")
    end
    return words .. (bit.band(bits, 1) == 1 and " (to many)" or ""), length
end

local function tell(tvb, pinfo, tree)
    local about = subject(tree, tvb)
    local bits, length, since = tvb(5, 1):uint(), 80, ""
    if about == 0 then
        flags(tree, tvb(5, 1), 0x0f, { f.whole, f.part, f.has_age, f.in_step })
    else
        flags(tree, tvb(5, 1), 0x07, { f.whole, f.part, f.has_age })
    end
    if bit.band(bits, 4) == 4 and tvb:len() >= 84 then
        tree:add(f.age, tvb(80, 4))
        since = string.format(", here for %d s", tvb(80, 4):uint())
        length = 84
    end
    if about == 0 then tree:add(f.changes, tvb(6, 2)) else reserved(tree, tvb(6, 2)) end
    tree:add(f.nonce, tvb(8, 8))
    belongs(tree, pinfo, tvb(8, 8):uint64())
    tree:add(f.cookie, tvb(16, 16))
    tree:add(f.instance, tvb(32, 16))
    if about == 0 then
        local words, steps = listing(tree, tvb, 48), tvb(6, 2):uint()
        words = words .. (steps > 0 and string.format(", %d bytes of changes", steps * 64) or "")
        words = words .. (bit.band(bits, 8) == 8 and ", keeps in step" or "")
        return words .. since, length
    end
    tree:add(f.chain, tvb(48, 20))
    content_size(tree, tvb(68, 8))
    tree:add(f.blocks, tvb(76, 4))
    local holds = bit.band(bits, 1) == 1 and "whole" or bit.band(bits, 2) == 2 and "part" or "nothing"
    return string.format("%s of %s bytes, %d blocks", holds, tostring(tvb(68, 8):uint64()), tvb(76, 4):uint()) .. since, length
end

local function one_range(tree, tvb, at, payload_length)
    local branch = tree:add(f.range, tvb(at, 12))
    local offset, length = tvb(at, 8):uint64(), tvb(at + 8, 4):uint()
    branch:add(f.range_offset, tvb(at, 8))
    local item = branch:add(f.range_length, tvb(at + 8, 4))
    branch:append_text(string.format(": %s + %d", tostring(offset), length))
    if length == 0 then too_much(item, "a range has at least one byte") end
    if offset + UInt64.new(length, 0) > END_MAX then too_much(item, "a range ends at 2^53 at most") end
    return length, math.ceil(length / math.max(payload_length, 1)), tostring(offset) .. "+" .. length
end

local function grant(tvb, pinfo, tree)
    local kind = tree:add(f.kind, tvb(4, 1))
    if not KINDS[tvb(4, 1):uint()] then kind:add_proto_expert_info(e.unknown) end
    local count, ranges = tvb(5, 1):uint(), tree:add(f.ranges, tvb(5, 1))
    if count < 1 or count > RANGES_MAX then too_much(ranges, "1 to 16 ranges") end
    local payload_length, item = tvb(6, 2):uint(), tree:add(f.payload_length, tvb(6, 2))
    if payload_length < PAYLOAD_MIN or payload_length > PAYLOAD_MAX or payload_length % PAYLOAD_STEP ~= 0 then
        too_much(item, "512 to 65,408, a multiple of 64")
    end
    tree:add(f.nonce, tvb(8, 8))
    asks(tree, pinfo, tvb(8, 8):uint64())
    tree:add(f.cookie, tvb(16, 16))
    tree:add(({ [3] = f.digest, [4] = f.changes_id })[tvb(4, 1):uint()] or f.content, tvb(32, 20))
    local bytes, packets, at, texts = 0, 0, 52, {}
    for _ = 1, count do
        if at + 12 > tvb:len() then
            too_much(ranges, "there are fewer ranges than this")
            break
        end
        local length, cut, text = one_range(tree, tvb, at, payload_length)
        bytes, packets, at = bytes + length, packets + cut, at + 12
        texts[#texts + 1] = text
    end
    local sum = tree:add(f.granted, bytes):set_generated()
    if bytes > GRANT_BYTES_MAX then too_much(sum, "a grant is for at most 65,536 bytes") end
    local cuts = tree:add(f.packets, packets):set_generated()
    if packets > GRANT_PACKETS_MAX then too_much(cuts, "a grant causes at most 64 packets") end
    local name = KINDS[tvb(4, 1):uint()] or "?"
    local words = string.format("%s %s… by %d: %s", name, short(tvb(32, 20)), payload_length, table.concat(texts, " "))
    if requests[tostring(tvb(8, 8):uint64())] and not pinfo.visited then
        requests[tostring(tvb(8, 8):uint64())].words = string.format("%s %s…", name, short(tvb(32, 20)))
    end
    return words, at
end

local function data(tvb, pinfo, tree)
    tree:add(f.nonce, tvb(4, 8))
    local request = belongs(tree, pinfo, tvb(4, 8):uint64())
    local offset = tree:add(f.offset, tvb(12, 8))
    local length = tvb:reported_len() - 20
    tree:add(f.payload_bytes, length):set_generated()
    if tvb(12, 8):uint64() + UInt64.new(length, 0) > END_MAX then
        too_much(offset, "a payload ends at 2^53 at most")
    end
    if tvb:len() > 20 then
        tree:add(f.payload, tvb(20))
    else
        tree:add(tvb(0, 0), "The payload is not in the capture"):set_generated()
    end
    local of = request and request.words and " of " .. request.words or ""
    return string.format("%s + %d%s", tostring(tvb(12, 8):uint64()), length, of), tvb:len()
end

local function refuse(tvb, pinfo, tree)
    local item, reason = tree:add(f.reason, tvb(4, 1)), REASONS[tvb(4, 1):uint()]
    item:add_proto_expert_info(reason and e.refused or e.unknown)
    reserved(tree, tvb(5, 3))
    tree:add(f.nonce, tvb(8, 8))
    belongs(tree, pinfo, tvb(8, 8):uint64())
    return reason or "for an unknown reason", 16
end

local function news(tvb, pinfo, tree)
    local count, ranges = tvb(4, 1):uint(), tree:add(f.ranges, tvb(4, 1))
    if count < 1 or count > NEWS_RANGES_MAX then too_much(ranges, "1 to 64 ranges") end
    reserved(tree, tvb(5, 3))
    tree:add(f.nonce, tvb(8, 8))
    belongs(tree, pinfo, tvb(8, 8):uint64())
    local at, texts = 16, {}
    for _ = 1, count do
        if at + 8 > tvb:len() then
            too_much(ranges, "there are fewer ranges than this")
            break
        end
        local branch = tree:add(f.range, tvb(at, 8))
        local first, blocks = tvb(at, 4):uint(), tvb(at + 4, 4):uint()
        branch:add(f.news_first, tvb(at, 4))
        local item = branch:add(f.news_blocks, tvb(at + 4, 4))
        if blocks == 0 then too_much(item, "a range has at least one block") end
        texts[#texts + 1] = first .. "+" .. blocks
        at = at + 8
    end
    return "blocks " .. table.concat(texts, " "), at
end

local V4_MAPPED = "00000000000000000000ffff"

local function hosts(tvb, pinfo, tree)
    local count, item = tvb(4, 1):uint(), tree:add(f.hosts, tvb(4, 1))
    if count < 1 or count > HOSTS_MAX then too_much(item, "1 to 44 hosts") end
    reserved(tree, tvb(5, 1))
    tree:add(f.hosts_next, tvb(6, 2))
    tree:add(f.nonce, tvb(8, 8))
    belongs(tree, pinfo, tvb(8, 8):uint64())
    local at = 16
    for _ = 1, count do
        if at + 26 > tvb:len() then
            too_much(item, "there are fewer hosts than this")
            break
        end
        local branch = tree:add(f.host, tvb(at, 26))
        if tostring(tvb(at, 12):bytes()):lower() == V4_MAPPED then
            branch:add(f.host_v4, tvb(at + 12, 4))
        else
            branch:add(f.host_v6, tvb(at, 16))
        end
        branch:add(f.host_port, tvb(at + 16, 2))
        branch:add(f.portions, tvb(at + 18, 8))
        at = at + 26
    end
    local words, from = count == 1 and "1 host" or count .. " hosts", tvb(6, 2):uint()
    return words .. (from > 0 and string.format(", more from place %d on", from) or ""), at
end

local function hold(tvb, _, tree)
    reserved(tree, tvb(4, 4))
    tree:add(f.cookie, tvb(8, 16))
    tree:add(f.content, tvb(24, 20))
    content_size(tree, tvb(44, 8))
    tree:add(f.portions, tvb(52, 8))
    return string.format("of %s…", short(tvb(24, 20))), 60
end

local DISSECTORS = { announce, farewell, ask, tell, grant, data, data, refuse, news, hosts, hold }

function sprat.dissector(tvb, pinfo, root)
    -- Only the header of DATA may be there, but its true length is known.
    local there, length = tvb:len(), tvb:reported_len()
    if there < 4 or tvb(0, 2):uint() ~= 0x5370 then return 0 end
    pinfo.cols.protocol = "Sprat"
    local tree = root:add(sprat, tvb(0, there))
    tree:add(f.magic, tvb(0, 2))
    local version, kind = tree:add(f.version, tvb(2, 1)), tree:add(f.type, tvb(3, 1))
    if tvb(2, 1):uint() ~= 1 then
        version:add_proto_expert_info(e.unknown)
        pinfo.cols.info = "version " .. tvb(2, 1):uint()
        return there
    end
    local number = tvb(3, 1):uint()
    local name, dissect = TYPES[number], DISSECTORS[number]
    if not name then
        kind:add_proto_expert_info(e.unknown)
        pinfo.cols.info = "type " .. number
        return there
    end
    tree:append_text(", " .. name)
    local longest = (number == 6 or number == 7) and LONGEST_DATA or LONGEST_CONTROL
    if length < LENGTHS[number] or length > longest then
        too_much(kind, string.format("%s has %d to %d bytes", name, LENGTHS[number], longest))
    end
    local needed = (number == 6 or number == 7) and 20 or LENGTHS[number]
    if there < needed then
        pinfo.cols.info = name .. " (cut off)"
        return there
    end
    local words, used = dissect(tvb, pinfo, tree)
    if used < there then tree:add(f.trailing, tvb(used)) end
    pinfo.cols.info = words == "" and name or name .. "  " .. words
    return there
end

local function is_ours(tvb, pinfo, tree)
    if tvb:len() < 4 or tvb(0, 2):uint() ~= 0x5370 or tvb(2, 1):uint() ~= 1 or not TYPES[tvb(3, 1):uint()] then
        return false
    end
    sprat.dissector(tvb, pinfo, tree)
    return true
end

DissectorTable.get("udp.port"):add(PORT, sprat)
-- A program may speak from any port.
sprat:register_heuristic("udp", is_ours)
