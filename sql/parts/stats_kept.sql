-- Which rows of `stats` are kept when the log's time is `second`.
(width = 0 or (width = 10 and start >= second - %(kept_10)s) or (width = 300 and start >= second - %(kept_300)s))
