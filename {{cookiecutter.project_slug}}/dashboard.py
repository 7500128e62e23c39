# {% include ["loggers/" ~ cookiecutter.logger ~ "/dashboard.py", "loggers/dashboard.py"] %}
