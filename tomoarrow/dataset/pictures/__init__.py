"""A dataset in pictures: one page for a browser, and charts for notebooks.

Tables are read and put together with Polars (`metrics`, `gather`, `outliers`), charts are made with Altair
(`charts`): in `page` they become one HTML file that needs no network, in `notebook` they are handed out.
"""
