-- What wrk posts, and how it tells what it measured: one line of JSON, as benchmarks.load does.
wrk.method = "POST"
wrk.path = "/jobs"
wrk.body = '{"type":"NOOP","payload":{"number":7,"text":"as small as most payloads are"}}'
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency)
    local e = summary.errors
    print(string.format(
        '{"answered": %d, "seconds": %f, "errors": %d, "p50": %f, "p99": %f}',
        summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
